//! The address of the database, and the files that connections to it need.

use std::{fmt, fs, net::IpAddr, path::Path, str::FromStr as _, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use super::tls::DatabaseTls;
use crate::{error::StoreError, store::sqlite_error::file_error};

/// The time in which one host accepts a connection, unless the address sets another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time after which a connection counts as lost if the database's machine acknowledges nothing,
/// unless the address sets another.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);

/// An address that begins with `postgres://` or `postgresql://`, as PostgreSQL's own clients read
/// it. It contains no password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    config: Config,
}

/// The fault of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// The text is no address, or has an unknown parameter.
    #[error("it is no address of a PostgreSQL database: {0}")]
    Unreadable(String),
    /// The address contains a password, which every reader of the settings would see.
    #[error("the address contains a password")]
    Password,
    /// The address names no host, no user or no database.
    #[error("the address names no {0}")]
    Missing(&'static str),
    /// The address lets the network choose a connection without TLS.
    #[error("with `sslmode=prefer` an attacker can turn TLS off")]
    Prefer,
    /// A certificate names a host.
    #[error("TLS needs the name of the host, not only `hostaddr`")]
    NoHostName,
}

impl PostgresUrl {
    /// True if the text begins like an address.
    pub fn is_one(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`PostgresUrlError`].
    pub fn parse(text: &str) -> Result<Self, PostgresUrlError> {
        let mut config = Config::from_str(text).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            PostgresUrlError::Unreadable(source.unwrap_or_else(|| error.to_string()))
        })?;
        if config.get_password().is_some() {
            return Err(PostgresUrlError::Password);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresUrlError::Missing("host"));
        }
        if config.get_user().is_none() {
            return Err(PostgresUrlError::Missing("user"));
        }
        if config.get_dbname().is_none() {
            return Err(PostgresUrlError::Missing("database"));
        }
        let names_mode = text.contains("sslmode=");
        match config.get_ssl_mode() {
            SslMode::Prefer if names_mode => return Err(PostgresUrlError::Prefer),
            SslMode::Prefer => {
                config.ssl_mode(if stays_on_this_machine(&config) { SslMode::Disable } else { SslMode::Require });
            }
            _ => {}
        }
        if config.get_ssl_mode() == SslMode::Require && config.get_hosts().is_empty() {
            return Err(PostgresUrlError::NoHostName);
        }
        // A standby takes no writes. After a failover another host does.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("regrow-ds");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(ACKNOWLEDGE_TIMEOUT);
        }
        if !text.contains("keepalives") {
            config.keepalives_idle(ACKNOWLEDGE_TIMEOUT / 2);
            config.keepalives_interval(ACKNOWLEDGE_TIMEOUT / 10);
            config.keepalives_retries(5);
        }
        Ok(Self { text: text.to_owned(), config })
    }

    /// Returns the address as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// True if all hosts are this machine.
fn stays_on_this_machine(config: &Config) -> bool {
    config.get_hostaddrs().iter().all(IpAddr::is_loopback)
        && config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
            #[cfg(unix)]
            Host::Unix(_) => true,
        })
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A database with everything that a connection needs.
#[derive(Clone)]
pub struct PostgresAddress {
    pub(super) config: Config,
    pub(super) tls: DatabaseTls,
}

impl PostgresAddress {
    /// Reads the file with the password and the file with the certificate authorities, in PEM.
    /// Without the latter, the certificate's authority is one that the platform trusts.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] if a file cannot be read. [`StoreError::Backend`] if it has no
    /// certificate.
    pub fn new(
        url: &PostgresUrl,
        password_file: Option<&Path>,
        authorities: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let read = |path: &Path| fs::read(path).map_err(|error| file_error(path, error));
        let mut config = url.config.clone();
        if let Some(path) = password_file {
            let password = read(path)?;
            // Editors end a line.
            config.password(password.strip_suffix(b"\n").unwrap_or(&password));
        }
        let pem = authorities.map(|path| read(path).map(|pem| (path, pem))).transpose()?;
        let tls = DatabaseTls::trusting(pem.as_ref().map(|(_, pem)| pem.as_slice())).map_err(|fault| {
            let place = pem.as_ref().map_or_else(String::new, |(path, _)| format!(" in {}", path.display()));
            StoreError::Backend(format!("cannot use the certificate authorities{place}: {fault}").into())
        })?;
        Ok(Self { config, tls })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(text: &str) -> SslMode {
        PostgresUrl::parse(text).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn a_database_on_another_machine_needs_tls() {
        assert_eq!(mode("postgres://regrow@db.example/regrow"), SslMode::Require);
        assert_eq!(mode("postgresql://regrow@a.example,b.example/regrow"), SslMode::Require);
        assert_eq!(mode("postgres://regrow@localhost,b.example/regrow"), SslMode::Require);
        assert_eq!(mode("postgres://regrow@db.example/regrow?sslmode=disable"), SslMode::Disable);
    }

    #[test]
    fn a_database_on_this_machine_needs_no_tls() {
        for host in ["localhost", "127.0.0.1", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://regrow@{host}/regrow")), SslMode::Disable, "{host}");
        }
        assert_eq!(mode("postgres://regrow@localhost/regrow?sslmode=require"), SslMode::Require);
    }

    #[test]
    fn unsafe_and_incomplete_addresses_are_refused() {
        let fault = |text| PostgresUrl::parse(text).unwrap_err();
        assert_eq!(fault("postgres://regrow:secret@localhost/regrow"), PostgresUrlError::Password);
        assert_eq!(fault("postgres://regrow@localhost/regrow?password=secret"), PostgresUrlError::Password);
        assert_eq!(fault("postgres://regrow@db.example/regrow?sslmode=prefer"), PostgresUrlError::Prefer);
        assert_eq!(fault("postgres://localhost/regrow"), PostgresUrlError::Missing("user"));
        assert_eq!(fault("postgres://regrow@localhost"), PostgresUrlError::Missing("database"));
        assert_eq!(fault("postgres://regrow@/regrow"), PostgresUrlError::Missing("host"));
        assert_eq!(fault("postgres://regrow@/regrow?hostaddr=192.0.2.1"), PostgresUrlError::NoHostName);
        assert!(matches!(fault("postgres://regrow@localhost/regrow?pasword=1"), PostgresUrlError::Unreadable(_)));
    }
}
