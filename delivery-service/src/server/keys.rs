//! The names of all settings, as a file has them: `limits.queue`.
//!
//! The module derives the names from the types of the settings, so no separate list can go out of
//! date.

use std::collections::BTreeSet;

use figment::value::{Dict, Value};

use super::settings::{ClusterSettings, PostgresSettings, RegistrationMode, Settings, Tls};

/// The similarity, from 0 to 1, from which a name counts as a mistyped form of another name.
const ALIKE: f64 = 0.85;

/// Returns every key in the order of the settings.
pub fn all() -> Vec<String> {
    let jwt = RegistrationMode::Jwt {
        issuer: String::new(),
        audience: String::new(),
        jwks: String::new(),
        jwks_authorities: Some("".into()),
        jwks_refresh_seconds: 300,
    };
    let tls = Some(Tls { certificate: "".into(), key: "".into() });
    let cluster = Some(ClusterSettings {
        listen: Settings::default().listen,
        advertise: Some(String::new()),
        secret_file: "".into(),
        lease_seconds: 5,
        replace_settings: false,
    });
    let postgres = PostgresSettings { password_file: Some("".into()), authorities: Some("".into()) };
    let mut keys: Vec<String> = Vec::new();
    for registration in [RegistrationMode::Open { anywhere: false }, jwt] {
        let (tls, postgres, cluster) = (tls.clone(), postgres.clone(), cluster.clone());
        let settings = Settings { registration, tls, postgres, cluster, ..Settings::default() };
        for (key, _) in values(&settings) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

/// Returns every key with a value, and the value as TOML. The keys outside of tables come first, as
/// TOML requires.
pub fn values(settings: &Settings) -> Vec<(String, String)> {
    let Ok(table) = toml::Table::try_from(settings) else { return Vec::new() };
    let mut values = Vec::new();
    walk("", &table, &mut values);
    values
}

fn walk(prefix: &str, table: &toml::Table, values: &mut Vec<(String, String)>) {
    let name = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    for (key, value) in table {
        if !value.is_table() {
            values.push((name(key), value.to_string()));
        }
    }
    for (key, value) in table {
        if let toml::Value::Table(inner) = value {
            walk(&name(key), inner, values);
        }
    }
}

/// True if the setting is text. Such a setting stays text even if its value looks like a number.
pub(super) fn is_text(key: &str) -> bool {
    let Some((_, value)) = values(&Settings::default()).into_iter().find(|(known, _)| known == key) else {
        // These settings have no default value: the names of files, and the settings of an issuer.
        return key.starts_with("tls.")
            || key.starts_with("postgres.")
            || ["cluster.listen", "cluster.advertise", "cluster.secret_file"].contains(&key)
            || key.starts_with("registration.")
                && !["registration.anywhere", "registration.jwks_refresh_seconds"].contains(&key);
    };
    value.starts_with(['"', '\''])
}

/// Returns the keys in `dict` that are not settings. For an unknown table, it returns the name of
/// the table only.
pub(super) fn unknown_in(dict: &Dict) -> Vec<String> {
    let known = all();
    let mut unknown = Vec::new();
    look_for_unknown("", dict, &known, &mut unknown);
    unknown
}

fn look_for_unknown(prefix: &str, dict: &Dict, known: &[String], unknown: &mut Vec<String>) {
    for (key, value) in dict {
        let key = format!("{prefix}{key}");
        let below = format!("{key}.");
        let is_table = known.iter().any(|known| known.starts_with(&below));
        match value {
            Value::Dict(_, inner) if is_table => look_for_unknown(&below, inner, known, unknown),
            _ if is_table || known.contains(&key) => {}
            _ => unknown.push(key),
        }
    }
}

/// Returns the key that the user probably meant.
pub(super) fn nearest(key: &str) -> Option<String> {
    let mut known: BTreeSet<String> = all().into_iter().collect();
    let tables: Vec<_> =
        known.iter().filter_map(|key| key.rsplit_once('.')).map(|(table, _)| table.to_owned()).collect();
    known.extend(tables);
    let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
    // The first choice is the same name in another table, the second the most similar name.
    if let Some(moved) = known.iter().find(|known| last(known) == last(key)) {
        return Some(moved.clone());
    }
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&known, key), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// Returns a key of `registration` that does not belong to the mode, with the error text.
pub(super) fn foreign_to_mode(find: impl Fn(&str) -> Option<Value>) -> Option<(String, String)> {
    let mode = find("registration.mode")?.into_string()?;
    let of_jwt = ["issuer", "audience", "jwks", "jwks_authorities", "jwks_refresh_seconds"].map(|key| (key, "jwt"));
    let owned = [("anywhere", "open")].into_iter().chain(of_jwt);
    if !["open", "token", "jwt"].contains(&mode.as_str()) {
        return None;
    }
    owned.into_iter().filter(|(_, owner)| *owner != mode).find_map(|(key, owner)| {
        let key = format!("registration.{key}");
        find(&key)?;
        Some((key, format!("it belongs to the mode `{owner}`, and the mode is `{mode}`")))
    })
}
