//! Settings: their sources, the errors for wrong ones, and their printed form.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "server")]

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use regrow_delivery_service::server::{
    config::{Config, ConfigError, Flag, Sources},
    keys,
    settings::{LogFormat, RegistrationMode, Settings},
};

/// A settings file in a temporary directory.
struct SettingsFile {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn settings_file(text: &str) -> SettingsFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.toml");
    fs::write(&path, text).unwrap();
    SettingsFile { _directory: directory, path }
}

fn variables(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn load(text: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<(Config, String), String> {
    let file = settings_file(text);
    let path = file.path.display().to_string();
    let sources = Sources { file: Some(file.path.clone()), variables: variables(environment), flags: flags.to_vec() };
    match Config::load(&sources) {
        Ok(config) => Ok((config, path)),
        // Replace the path, so that tests can compare the whole text.
        Err(error) => Err(error.to_string().replace(&path, "FILE")),
    }
}

fn of_file(text: &str) -> Settings {
    load(text, &[], &[]).unwrap().0.settings
}

fn error(text: &str) -> String {
    load(text, &[], &[]).unwrap_err()
}

fn error_of_environment(environment: &[(&str, &str)]) -> String {
    load("", environment, &[]).unwrap_err()
}

#[test]
fn every_setting_has_a_default() {
    let config = Config::load(&Sources { file: None, variables: Vec::new(), flags: Vec::new() }).unwrap();
    assert!(config.settings.listen.ip().is_loopback());
    assert!(keys::all().iter().all(|key| config.origin(key) == "default"));
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let text = "database = 'file'\n[limits]\nqueue = 1\nstreams = 1\n[limits.ordering]\nmax_body_bytes = 1";
    let environment = [("REGROW_DS_LIMITS__QUEUE", "2"), ("REGROW_DS_DATABASE", "environment"), ("OTHER", "x")];
    let flag = Flag { name: "--database", key: "database", value: "flag".into() };
    let (config, file) = load(text, &environment, &[flag]).unwrap();
    let Settings { database, limits, .. } = &config.settings;
    assert_eq!((database.to_string().as_str(), limits.queue, limits.streams), ("flag", 2, 1));
    assert_eq!(config.origin("database"), "flag --database");
    assert_eq!(config.origin("limits.queue"), "environment variable REGROW_DS_LIMITS__QUEUE");
    assert_eq!(config.origin("limits.ordering.max_body_bytes"), file);
    assert_eq!(config.origin("limits.ordering.max_queue_length"), "default");
}

#[test]
fn a_name_may_look_like_a_number() {
    let (config, _) = load("", &[("REGROW_DS_DATABASE", "2026")], &[]).unwrap();
    assert_eq!(config.settings.database.file(), Some(Path::new("2026")));
}

#[test]
fn a_registration_mode_replaces_the_whole_default() {
    let jwt = "[registration]\nmode = 'jwt'\nissuer = 'i'\naudience = 'a'\njwks = 'keys.json'";
    assert!(matches!(of_file(jwt).registration, RegistrationMode::Jwt { .. }));
    assert!(matches!(of_file("registration.mode = 'token'").registration, RegistrationMode::Token));
    let (config, _) = load("", &[("REGROW_DS_REGISTRATION__MODE", "token")], &[]).unwrap();
    assert!(matches!(config.settings.registration, RegistrationMode::Token));
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_key() {
    assert_eq!(error("[limits]\nqueu = 1"), "FILE: there is no setting `limits.queu`; did you mean `limits.queue`?");
    assert_eq!(
        error("max_body_bytes = 1"),
        "FILE: there is no setting `max_body_bytes`; did you mean `limits.ordering.max_body_bytes`?"
    );
    assert_eq!(error("[limit]\nqueue = 1"), "FILE: there is no setting `limit`; did you mean `limits`?");
    assert_eq!(error("xyz = 1"), "FILE: there is no setting `xyz`");
    assert_eq!(
        error_of_environment(&[("REGROW_DS_LISTN", "127.0.0.1:1")]),
        "environment variable REGROW_DS_LISTN: there is no setting `listn`; did you mean `listen`?"
    );
}

#[test]
fn all_unknown_keys_are_named_at_once() {
    assert_eq!(error("one_thing = 1\nother_thing = 1").lines().count(), 2);
}

#[test]
fn a_wrong_type_is_named_with_its_source() {
    let found = error("[limits]\nqueue = 'many'");
    assert!(found.starts_with("FILE: `limits.queue`: invalid type: found string \"many\""), "{found}");
    let found = error_of_environment(&[("REGROW_DS_LIMITS__QUEUE", "many")]);
    assert!(found.starts_with("environment variable REGROW_DS_LIMITS__QUEUE: `limits.queue`: "), "{found}");
    let found = error("listen = 'nowhere'");
    assert!(found.starts_with("FILE: `listen`: "), "{found}");
    let found = error("[limits]\nqueue = -1");
    assert!(found.starts_with("FILE: `limits.queue`: "), "{found}");
    let found = error("log = 'debug'");
    assert!(found.starts_with("FILE: `log`: "), "{found}");
    let found = error("[tls]\ncertificate = 'c.pem'");
    assert!(found.contains("`tls`: missing field `key`"), "{found}");
    let found = error("[registration]\nmode = 'friends'");
    assert!(found.starts_with("FILE: `registration.mode`: ") && found.contains("friends"), "{found}");
}

#[test]
fn proxies_are_addresses_and_networks() {
    let settings = of_file("trusted_proxies = ['192.0.2.1', '2001:db8::/32']");
    assert_eq!(settings.trusted_proxies, ["192.0.2.1", "2001:db8::/32"].map(|text| text.parse().unwrap()));
    let (config, _) = load("", &[("REGROW_DS_TRUSTED_PROXIES", "['10.0.0.0/8']")], &[]).unwrap();
    assert!(config.to_string().contains("trusted_proxies = [\"10.0.0.0/8\"]  # environment variable"), "{config}");

    let found = error("trusted_proxies = ['192.0.2.1', 'proxy.example']");
    assert!(found.starts_with("FILE: `trusted_proxies.1`: `proxy.example` is neither an address"), "{found}");
    let found = error("trusted_proxies = '192.0.2.1'");
    assert!(found.starts_with("FILE: `trusted_proxies`: "), "{found}");
    let found = error_of_environment(&[("REGROW_DS_TRUSTED_PROXIES", "['10.0.0.0/40']")]);
    assert!(found.starts_with("environment variable REGROW_DS_TRUSTED_PROXIES: `trusted_proxies.0`: "), "{found}");
}

#[test]
fn a_setting_of_another_registration_mode_is_refused() {
    assert_eq!(
        error("[registration]\nmode = 'token'\nissuer = 'i'"),
        "FILE: `registration.issuer`: it belongs to the mode `jwt`, and the mode is `token`"
    );
}

#[test]
fn a_syntax_error_is_named_with_its_line() {
    let found = error("listen = \n[limits]");
    assert!(found.starts_with("FILE is not TOML: ") && found.contains("line 1"), "{found}");
}

#[test]
fn a_named_file_must_exist() {
    let sources = Sources { file: Some("is/not/there.toml".into()), ..Sources::default() };
    assert!(matches!(Config::load(&sources), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn a_public_address_needs_tls_or_an_explicit_setting() {
    let elsewhere = "listen = '0.0.0.0:8765'\nregistration.mode = 'token'\n";
    let found = error(elsewhere);
    assert!(found.starts_with("FILE: `listen`: 0.0.0.0:8765 can be reached"), "{found}");
    assert!(found.contains("`tls.certificate`"), "{found}");
    of_file(&format!("{elsewhere}plain_http_anywhere = true"));
    of_file(&format!("{elsewhere}[tls]\ncertificate = 'c'\nkey = 'k'"));
}

#[test]
fn open_registration_needs_loopback_or_an_explicit_setting() {
    let open = "listen = '0.0.0.0:8765'\nplain_http_anywhere = true\n[registration]\nmode = 'open'\n";
    let found = error(open);
    assert!(found.starts_with("FILE: `registration.mode`: `open` lets everybody register"), "{found}");
    of_file(&format!("{open}anywhere = true"));
    // The same applies if no registration mode is set.
    let found = error("listen = '0.0.0.0:8765'\nplain_http_anywhere = true");
    assert!(found.contains("`registration.mode`"), "{found}");
}

#[test]
fn limits_that_let_nothing_through_are_refused() {
    // For these limits, 0 is valid: a group remembers no removals, or accepts no proposals, or a
    // rollback needs the fewest reports.
    let may_be_zero = ["max_removed_devices_per_group", "max_proposals_per_epoch", "rollback_percent"];
    for key in keys::all() {
        let Some((table, name)) = key.strip_prefix("limits.").map(|_| key.rsplit_once('.').unwrap()) else { continue };
        let text = format!("[{table}]\n{name} = 0");
        if may_be_zero.contains(&name) {
            of_file(&text);
        } else {
            assert!(error(&text).starts_with(&format!("FILE: `{key}`: 0 lets nothing through")), "{key}");
        }
    }
}

#[test]
fn invalid_values_are_refused_with_a_remedy() {
    for (text, key) in [
        ("listen = '127.0.0.1:8766'", "listen_operators"),
        ("limits.ordering.rollback_percent = 101", "limits.ordering.rollback_percent"),
        ("log.level = 'loud=very=so'", "log.level"),
        (
            "registration = { mode = 'jwt', issuer = 'i', audience = 'a', jwks = 'k', jwks_authorities = 'c' }",
            "registration.jwks_authorities",
        ),
        ("trusted_proxies = ['10.0.0.0/8', '0.0.0.0/0']", "trusted_proxies"),
        ("trusted_proxies = ['::/0']", "trusted_proxies"),
        ("registration = { mode = 'jwt', issuer = '', audience = 'a', jwks = 'k' }", "registration.issuer"),
        ("registration = { mode = 'jwt', issuer = 'i', audience = 'a', jwks = '' }", "registration.jwks"),
        ("registration = { mode = 'jwt', issuer = 'i', audience = 'a', jwks = 'http://k' }", "registration.jwks"),
    ] {
        let found = error(text);
        assert!(found.contains(&format!("`{key}`: ")) && found.contains(". "), "{found}");
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_printed() {
    let found = error("registration = { mode = 'jwt', issuer = 'i', audience = 'a', jwks = 'https://u:hunter2@k/' }");
    assert!(found.contains("`registration.jwks`") && !found.contains("hunter2"), "{found}");
    for address in ["postgres://u:hunter2@h/d", "postgresql://u@h/d?password=hunter2", "postgres://u:hunter2@h:x/d"] {
        let found = error(&format!("database = '{address}'"));
        assert!(found.contains("`database`") && !found.contains("hunter2"), "{found}");
    }
}

#[test]
fn printed_settings_can_be_loaded_again() {
    let text = "listen = '127.0.0.1:1'\ndatabase = 'postgres://u@h/d'\n[postgres]\npassword_file = 'p'\n[tls]\ncertificate = 'c'\nkey = 'k'\n[log]\nformat = 'json'";
    let (config, file) = load(text, &[("REGROW_DS_LIMITS__QUEUE", "2")], &[]).unwrap();
    let printed = config.to_string();
    let (again, _) = load(&printed, &[], &[]).unwrap();
    assert_eq!(format!("{:?}", again.settings), format!("{:?}", config.settings));
    assert_eq!(again.settings.log.format, LogFormat::Json);
    for line in [
        format!("listen = \"127.0.0.1:1\"  # {file}"),
        "queue = 2  # environment variable REGROW_DS_LIMITS__QUEUE".to_owned(),
        "max_body_bytes = 4194304  # default".to_owned(),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
    }
}

#[test]
fn every_setting_is_printed() {
    let text = "database = 'postgres://u@h/d'\ntls = { certificate = 'c', key = 'k' }\n\
        postgres = { password_file = 'p', authorities = 'a' }\n\
        cluster = { listen = '127.0.0.1:1', advertise = 'a:1', secret_file = 's' }";
    let printed = load(text, &[], &[]).unwrap().0.to_string();
    let of_jwt = ["issuer", "audience", "jwks", "jwks_authorities", "jwks_refresh_seconds"]
        .map(|key| format!("registration.{key}"));
    for key in keys::all().iter().filter(|key| !of_jwt.contains(key)) {
        let name = key.rsplit('.').next().unwrap();
        assert!(printed.contains(&format!("{name} = ")), "{key}");
    }
}

#[test]
fn every_setting_is_in_the_operators_page_with_its_default() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators.md")).unwrap();
    let defaults = keys::values(&Settings::default());
    for key in keys::all() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("`{key}` is not in docs/operators.md"));
        let default = defaults.iter().find(|(known, _)| *known == key).map_or("none", |(_, value)| value);
        assert!(row.contains(&format!("| `{default}` |")), "{row}: the default is {default}");
    }
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `")).map(|(key, _)| key);
    for key in rows {
        assert!(
            keys::all().iter().any(|known| known == key),
            "docs/operators.md names the setting `{key}`, which does not exist"
        );
    }
}

#[test]
fn a_mistyped_log_level_is_named_with_the_nearest_one() {
    for (level, nearest) in [("inof", "info"), ("wran", "warn"), ("debg", "debug"), ("hyper=inof", "info")] {
        let found = error(&format!("[log]\nlevel = '{level}'"));
        let expected = format!("FILE: `log.level`: `{level}` is no level; did you mean `{nearest}`?");
        assert!(found.starts_with(&expected), "{found}");
    }
    for level in ["WARN", "off", "trace", "warn,hyper=debug", "regrow_ds=info"] {
        assert_eq!(of_file(&format!("[log]\nlevel = '{level}'")).log.level, level);
    }
}

#[test]
fn budgets_too_small_for_a_request_are_refused() {
    let found = error("[limits]\ndevice_memory_bytes = 1000000");
    assert!(found.contains("`limits.device_memory_bytes`: the largest request takes "), "{found}");
    let found = error("[limits]\nmemory_bytes = 33554432");
    assert!(found.contains("`limits.memory_bytes`: it is too little for one device"), "{found}");
    let found = error("[limits]\ndevice_burst = 50");
    assert!(found.contains("`limits.device_burst`: the largest request costs 172 units"), "{found}");
    of_file(
        "[limits]\nmemory_bytes = 16777216\ndevice_memory_bytes = 4194304\n[limits.ordering]\nmax_body_bytes = 65536",
    );
}

#[test]
fn allowed_hosts_are_names_without_a_port() {
    for host in ["https://a.example", "a.example:80", "a b", ""] {
        assert!(error(&format!("allowed_hosts = ['{host}']")).contains("`allowed_hosts`"), "{host}");
    }
    assert_eq!(of_file("allowed_hosts = ['a.example', '192.0.2.1', '[::1]']").allowed_hosts.len(), 3);
}

#[test]
fn a_cluster_needs_a_database_and_addresses_for_nodes() {
    let with = |rest: &str| {
        let database = "database = 'postgres://regrow@127.0.0.1/regrow'";
        format!("{database}\n[cluster]\nsecret_file = 'secret'\n{rest}")
    };
    let cluster = of_file(&with("listen = '127.0.0.1:8767'")).cluster.unwrap();
    assert_eq!((cluster.lease_seconds, cluster.advertise, cluster.replace_settings), (5, None, false));
    let (config, _) =
        load(&with("listen = '0.0.0.0:8767'"), &[("REGROW_DS_CLUSTER__ADVERTISE", "ds-0:8767")], &[]).unwrap();
    assert_eq!(config.settings.cluster.unwrap().advertise.as_deref(), Some("ds-0:8767"));

    let found = error("[cluster]\nsecret_file = 'secret'\nlisten = '127.0.0.1:8767'");
    assert!(found.contains("`database`: the nodes of a cluster cannot share the file regrow-ds.db"), "{found}");
    let found = error(&with("listen = '0.0.0.0:8767'"));
    assert!(found.contains("`cluster.advertise`: other nodes cannot connect to 0.0.0.0:8767"), "{found}");
    let found = error(&with("listen = '127.0.0.1:8767'\nadvertise = 'node1'"));
    assert!(found.contains("`cluster.advertise`: `node1` is no host with a port"), "{found}");
    let found = error(&with("listen = '127.0.0.1:8765'"));
    assert!(found.contains("`cluster.listen`: 127.0.0.1:8765 is the address of other requests"), "{found}");
    let found = error(&with("listen = '127.0.0.1:8767'\nlease_seconds = 1"));
    assert!(found.contains("`cluster.lease_seconds`: 1 is shorter than"), "{found}");
}
