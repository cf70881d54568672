//! `regrow-ds invitations` and `revoke-invitation`.

use std::io::{self, Write as _};

use anyhow::anyhow;
use regrow_delivery_service::{InvitationId, server::Environment};

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, open_service, stopped_by_store},
};

#[derive(clap::Args, Debug)]
pub(super) struct InvitationsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct RevokeArgs {
    /// Identifier of the invitation, as `regrow-ds invitations` prints it
    #[arg(value_name = "ID")]
    id: InvitationId,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Prints the valid invitations, one per line.
pub(super) fn list(args: &InvitationsArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let service = open_service(&config)?;
    let now = Environment::of_this_machine().wall();
    let open = service.invitations(now).map_err(|error| stopped_by_store(&config, error))?;
    let mut out = io::stdout().lock();
    for invitation in open {
        let user = invitation.user.map_or_else(|| "a new user".to_owned(), |user| user.to_string());
        let minutes = (invitation.expires.0 - now.0).div_ceil(60);
        writeln!(out, "{} for {user}, good for {minutes} minutes", invitation.id).or_stop(Ending::Failed)?;
    }
    Ok(Ending::Well)
}

/// Revokes one invitation.
pub(super) fn revoke(args: &RevokeArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let service = open_service(&config)?;
    if !service.revoke_invitation(args.id).map_err(|error| stopped_by_store(&config, error))? {
        let error = anyhow!("there is no invitation {}; `regrow-ds invitations` lists them", args.id);
        return Err(Stopped { ending: Ending::Found, error });
    }
    writeln!(io::stdout(), "revoked {}", args.id).or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}
