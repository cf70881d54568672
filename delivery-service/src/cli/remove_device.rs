//! `regrow-ds remove-device`.

use std::io::{self, Write as _};

use anyhow::anyhow;
use regrow_delivery_service::DeviceId;

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, open_service, stopped_by_store},
};

#[derive(clap::Args, Debug)]
pub(super) struct RemoveDeviceArgs {
    /// Name of the user
    #[arg(value_name = "USER")]
    user: String,
    /// Name of the device
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Removes a device for good.
pub(super) fn run(args: &RemoveDeviceArgs) -> Result<Ending, Stopped> {
    let device = DeviceId::new(&args.user, &args.device).or_stop(Ending::Unusable)?;
    let config = args.database.load()?;
    let service = open_service(&config)?;
    let removed = service.remove_device(&device).map_err(|error| stopped_by_store(&config, error))?;
    let Some(sessions) = removed else {
        let error = anyhow!("there is no registered device {device}; write the names exactly as they were registered");
        return Err(Stopped { ending: Ending::Found, error });
    };
    let sessions = sessions.len();
    writeln!(io::stdout(), "removed {device}, and ended its sessions ({sessions})").or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}
