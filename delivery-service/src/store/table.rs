//! The tables of the store.

/// The tables, and the keys in each. A name in a key is preceded by its length, and numbers are big-endian, so that keys
/// sort by name and then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// name: what the service keeps of itself, its signing key.
    Own,
    /// name of a counter: the last number that it gave out.
    Counters,
    /// group: mode, epoch, counts.
    Groups,
    /// group: the device that has ended the group of this name.
    EndedGroups,
    /// group, epoch modulo 2: the group info of the current epoch, and of the one before.
    GroupInfos,
    /// group, epoch modulo 2, name of a record: OpenMLS's state of the public group in this epoch, and the one before.
    PublicGroups,
    /// group: what it takes to take back the last commit.
    LastCommits,
    /// group, device: the number of the commit that the device cannot process.
    Reports,
    /// group, cursor: an entry of the log.
    Log,
    /// group, cursor: what all joiners need of the welcome that came with a commit.
    Welcomes,
    /// group, cursor, device: what that joiner alone needs of it.
    WelcomeSecrets,
    /// group, cursor: the ratchet tree of the epoch that a welcome leads into, if it is not in the welcome.
    WelcomeTrees,
    /// group, hash of the bytes: the answer that was given.
    Answers,
    /// deadline, cursor: the group and the hash, when an entry and its answer are to go.
    Deadlines,
    /// group, user, device: where the current membership began, and since when and by whom the user is a member.
    Members,
    /// group, device: a device that others removed, and that nobody has added again.
    Removed,
    /// device, group, cursor: one membership, from that cursor on.
    Memberships,
    /// group, cursor, device, cursor: who has yet to acknowledge from the first cursor on; the key of the membership.
    Unread,
    /// device, group, cursor: a membership with entries that the device has not acknowledged, as far as can be told.
    Waiting,
    /// group, device, cursor: a membership whose device has acknowledged every entry; the key of the membership.
    UpToDate,
    /// device, number: a key package.
    KeyPackages,
    /// device, number: the last-resort key package.
    LastResorts,
    /// device, hash: the reference of a key package that was uploaded, whether or not it still waits.
    KeyPackagesSeen,
    /// reference of a key package: the device that uploaded it.
    KeyPackageOwners,
    /// deadline, number: the device and the hash, when a key package expires.
    KeyPackageDeadlines,
    /// reference of a key package, claimer, number: a claim that no commit has used yet.
    Claims,
    /// user of the claimer, claimed device, number: that claim again.
    ClaimTargets,
    /// deadline, number: the key of the claim that expires then.
    ClaimDeadlines,
    /// deadline, cursor, device: the key of the membership whose invitation expires then.
    InvitationDeadlines,
    /// user, user: the second is blocked by the first.
    Blocks,
    /// what is counted, and for which party: the count.
    Tallies,
    /// device: whose it is and its key; or that it was removed.
    Devices,
    /// user, device: a device that the user has, or had.
    Users,
    /// user, device: a device that the user has.
    UserDevices,
    /// user: the state of the user's list of devices.
    DeviceLists,
    /// user, number: an entry of the user's list of devices.
    DeviceListEntries,
    /// device, hash of a token: when that session ends.
    Sessions,
    /// hash of a token: for whom an invitation is, and until when.
    Invitations,
    /// deadline, hash of a token: the session or the invitation that ends.
    AdmissionDeadlines,
    /// device: the address that is called when something waits for the device.
    WakeUps,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 40] = [
        Self::Own,
        Self::Counters,
        Self::Groups,
        Self::EndedGroups,
        Self::GroupInfos,
        Self::PublicGroups,
        Self::LastCommits,
        Self::Reports,
        Self::Log,
        Self::Welcomes,
        Self::WelcomeSecrets,
        Self::WelcomeTrees,
        Self::Answers,
        Self::Deadlines,
        Self::Members,
        Self::Removed,
        Self::Memberships,
        Self::Unread,
        Self::Waiting,
        Self::UpToDate,
        Self::KeyPackages,
        Self::LastResorts,
        Self::KeyPackagesSeen,
        Self::KeyPackageOwners,
        Self::KeyPackageDeadlines,
        Self::Claims,
        Self::ClaimTargets,
        Self::ClaimDeadlines,
        Self::InvitationDeadlines,
        Self::Blocks,
        Self::Tallies,
        Self::Devices,
        Self::Users,
        Self::UserDevices,
        Self::DeviceLists,
        Self::DeviceListEntries,
        Self::Sessions,
        Self::Invitations,
        Self::AdmissionDeadlines,
        Self::WakeUps,
    ];

    /// The table's name: lower case, with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Counters => "counters",
            Self::Groups => "groups",
            Self::EndedGroups => "ended_groups",
            Self::GroupInfos => "group_infos",
            Self::PublicGroups => "public_groups",
            Self::LastCommits => "last_commits",
            Self::Reports => "reports",
            Self::Log => "log",
            Self::Welcomes => "welcomes",
            Self::WelcomeSecrets => "welcome_secrets",
            Self::WelcomeTrees => "welcome_trees",
            Self::Answers => "answers",
            Self::Deadlines => "deadlines",
            Self::Members => "members",
            Self::Removed => "removed",
            Self::Memberships => "memberships",
            Self::Unread => "unread",
            Self::Waiting => "waiting",
            Self::UpToDate => "up_to_date",
            Self::KeyPackages => "key_packages",
            Self::LastResorts => "last_resorts",
            Self::KeyPackagesSeen => "key_packages_seen",
            Self::KeyPackageOwners => "key_package_owners",
            Self::KeyPackageDeadlines => "key_package_deadlines",
            Self::Claims => "claims",
            Self::ClaimTargets => "claim_targets",
            Self::ClaimDeadlines => "claim_deadlines",
            Self::InvitationDeadlines => "invitation_deadlines",
            Self::Blocks => "blocks",
            Self::Tallies => "tallies",
            Self::Devices => "devices",
            Self::Users => "users",
            Self::UserDevices => "user_devices",
            Self::DeviceLists => "device_lists",
            Self::DeviceListEntries => "device_list_entries",
            Self::Sessions => "sessions",
            Self::Invitations => "invitations",
            Self::AdmissionDeadlines => "admission_deadlines",
            Self::WakeUps => "wake_ups",
        }
    }
}
