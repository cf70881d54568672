//! The tables of the store.

/// The tables, and the keys in each. The doc comment of a variant has the parts of the key before
/// the colon, and the value after it. In a key, the length of a name precedes the name, and numbers
/// are big-endian, so that keys sort by name and then by number.
///
/// A database can have the number of a table in place of its name. So a new table comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// name: a record of the service itself, for example its signing key.
    ServiceState,
    /// name of a counter: the last number that it gave out.
    Counters,
    /// group: mode, epoch, counts.
    Groups,
    /// group: the device that has ended the group of this name.
    EndedGroups,
    /// group, epoch modulo 2: the group info of the current epoch, and of the one before.
    GroupInfos,
    /// group, epoch modulo 2, name of a record: OpenMLS's state of the public group in the current
    /// epoch, and in the one before.
    PublicGroups,
    /// group: the values that a rollback of the last commit needs.
    LastCommits,
    /// group, device: a mark that the device has reported the last commit.
    Reports,
    /// group, cursor: an entry of the log.
    Log,
    /// group, cursor: the part of a commit's welcome that all joiners need.
    Welcomes,
    /// group, cursor, device: the part of the welcome that only that joiner needs.
    WelcomeSecrets,
    /// group, cursor: the ratchet tree of the epoch that a welcome leads into, if the welcome does
    /// not have it.
    WelcomeTrees,
    /// group, hash of the bytes: the remembered outcome.
    RememberedOutcomes,
    /// deadline, cursor: the group and the hash of an entry that expires with its remembered
    /// outcome.
    Deadlines,
    /// group, user, device: the cursor that began the current membership, and since when and by
    /// which user the user is a member.
    Members,
    /// group, device: a device that others have removed, and that no commit has added again.
    Removed,
    /// device, group, cursor: one membership, from that cursor on.
    Memberships,
    /// group, first unread cursor, device, cursor that began the membership: the key of the
    /// membership.
    Unread,
    /// device, group, cursor: a membership that may have entries that the device has not
    /// acknowledged.
    Waiting,
    /// group, device, cursor: the key of a membership whose device has acknowledged every entry.
    UpToDate,
    /// device, number: a key package.
    KeyPackages,
    /// device, number: the last-resort key package.
    LastResorts,
    /// device, hash: the reference of an uploaded key package that has not expired, also if it was
    /// handed out.
    KeyPackagesSeen,
    /// reference of a key package: the device that uploaded it.
    KeyPackageOwners,
    /// deadline, number: the device, the hash and the reference of a key package that expires then.
    KeyPackageDeadlines,
    /// reference of a key package, claimer, number: a claim, open or used.
    Claims,
    /// user of the claimer, claimed device, number: the key of that claim.
    ClaimTargets,
    /// deadline, number: the key of the claim that expires then.
    ClaimDeadlines,
    /// deadline, cursor, device: the key of the membership whose invitation expires then.
    InvitationDeadlines,
    /// user, user: a mark that the first user has blocked the second.
    Blocks,
    /// the counted things, and the user or device that they count for: the count.
    Tallies,
    /// device: its user and its key, or that it was removed.
    Devices,
    /// user, device: a mark for a device that the user has, or had.
    Users,
    /// user, device: a mark for a device that the user has.
    UserDevices,
    /// user: the state of the user's list of devices.
    DeviceLists,
    /// user, number: an entry of the user's list of devices.
    DeviceListEntries,
    /// device, hash of a token: the time at which that session ends.
    Sessions,
    /// hash of a token: the user and the expiry time of an invitation.
    Invitations,
    /// deadline, hash of a token: the session or the invitation that ends then.
    AdmissionDeadlines,
    /// device: the address that the server calls when something waits for the device.
    WakeUps,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 40] = [
        Self::ServiceState,
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
        Self::RememberedOutcomes,
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

    /// Returns the table's number in a database that has all records in one table.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Returns the table's name in the file: lower case, with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceState => "own",
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
            Self::RememberedOutcomes => "answers",
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
