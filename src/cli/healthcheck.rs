//! `healthcheck`: whether a daemon serves, for supervisors and containers. It answers by its exit code and one word.

use std::io::Write;
use std::time::Duration;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::args::{ServerArgs, SettingFlags};
use super::failure::Failure;
use super::{client, setup};

/// Longest wait, connection included.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the gRPC health service for the daemon as a whole.
///
/// # Errors
/// It does not serve, or does not answer in time.
pub(super) fn run(flags: &SettingFlags, server: &ServerArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let address = setup::address(server, flags)?;
    let status = client::run(PATIENCE, async {
        let mut client = HealthClient::new(client::connect(&address).await?);
        let answer = client.check(HealthCheckRequest { service: String::new() }).await;
        Ok(answer.map_err(|status| client::refused(&status))?.into_inner().status())
    })?;
    if status != ServingStatus::Serving {
        return Err(Failure::Failed(format!("the daemon at {address} is not serving")));
    }
    Ok(writeln!(out, "serving")?)
}
