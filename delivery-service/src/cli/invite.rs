//! `regrow-ds invite`.

use std::io::{self, Write as _};

use anyhow::anyhow;
use regrow_delivery_service::{
    Timestamp, UserId,
    server::{
        Environment,
        invitation::{InviteError, invite},
    },
};

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, open_service, stopped_by_store},
};

#[derive(clap::Args, Debug)]
pub(super) struct InviteArgs {
    /// Invite a device of this user, who may already have devices [default: the first device of any
    /// new user]
    #[arg(long, value_name = "NAME")]
    user: Option<UserId>,
    /// Time until the invitations expire, such as 90m, 12h or 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = seconds)]
    expires: u64,
    /// Number of invitations
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Reads a duration of one number and one unit.
fn seconds(text: &str) -> Result<u64, String> {
    let expected = || "expected a duration such as 90m, 12h or 7d".to_owned();
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(expected)?;
    let (number, unit) = text.split_at(unit_at);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or_else(expected)
}

/// Makes invitations and prints their tokens, one per line.
pub(super) fn run(args: &InviteArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let service = open_service(&config)?;
    let environment = Environment::of_this_machine();
    let expires = Timestamp(environment.wall().0.saturating_add(args.expires));
    // One transaction for all, so that a thousand invitations take no longer than one.
    let tokens = service
        .batch(|service| {
            (0..args.count)
                .map(|_| invite(service, args.user.as_ref(), expires, &environment))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(|error| stopped_by_store(&config, error))?
        .map_err(|error| match error {
            InviteError::Store(error) => stopped_by_store(&config, error),
            error => Stopped { ending: Ending::Failed, error: anyhow!(error) },
        })?;
    let mut out = io::stdout().lock();
    tokens.iter().try_for_each(|token| writeln!(out, "{token}")).or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_duration_is_one_number_and_one_unit() {
        assert_eq!(["90s", "2m", "12h", "7d"].map(seconds), [Ok(90), Ok(120), Ok(43_200), Ok(604_800)]);
    }

    #[test]
    fn other_durations_are_refused() {
        for text in ["", "7", "d", "0d", "7w", "1d12h", "-1d", "7 d", "99999999999999999999d", "7ä"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }
}
