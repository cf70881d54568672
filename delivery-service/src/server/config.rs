//! The settings in force, and their sources: defaults, a file, the environment and flags. A later
//! source overrides an earlier one.
//!
//! Three kinds of mistakes are errors that name their place: an unknown key, a value of a wrong
//! type, and a value that makes no sense. The settings contain no secrets, because keys are in
//! files that the settings name. So the program can print all of them. It refuses an address that
//! contains a password.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::Serialized,
    value::{Dict, Map, Value},
};

use super::{
    keys,
    settings::Settings,
    validation::{self, InvalidSetting},
};

/// The settings file that the program reads if it exists and no other file is named.
pub const FILE: &str = "regrow-ds.toml";

/// The prefix of the environment variables. The rest of a name is the key in capitals, with `__`
/// for each dot.
pub const PREFIX: &str = "REGROW_DS_";

/// The settings with their origins.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings in force.
    pub settings: Settings,
    origins: BTreeMap<String, String>,
}

/// The sources of the settings, beside the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The named settings file, which has to exist. Without a name, the program looks for [`FILE`]
    /// in the working directory.
    pub file: Option<PathBuf>,
    /// The environment variables. Variables without [`PREFIX`] do not count.
    pub variables: Vec<(OsString, OsString)>,
    /// The flags, each with its key.
    pub flags: Vec<Flag>,
}

/// A flag that sets a value.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag as the user wrote it: `--listen`.
    pub name: &'static str,
    /// The key of the setting: `listen`.
    pub key: &'static str,
    /// The value of the setting.
    pub value: String,
}

/// The reason why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The program cannot read the file.
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {message}", .path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        message: String,
    },
    /// Invalid settings. Each fault stands for itself.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

/// One fault in the settings, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such setting.
    Unknown {
        /// The file, variable or flag.
        place: String,
        /// The unknown key.
        key: String,
        /// The setting that was probably meant.
        nearest: Option<String>,
    },
    /// The value has the wrong type, or a required value is missing.
    Unfit {
        /// The file, variable or flag.
        place: String,
        /// The setting.
        key: String,
        /// The fault.
        problem: String,
    },
    /// The value makes no sense.
    Invalid {
        /// The file, variable or flag.
        place: String,
        /// The setting, its fault and the remedy.
        setting: InvalidSetting,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { place, key, nearest } => {
                write!(f, "{place}: there is no setting `{key}`")?;
                nearest.iter().try_for_each(|nearest| write!(f, "; did you mean `{nearest}`?"))
            }
            Self::Unfit { place, key, problem } => write!(f, "{place}: `{key}`: {problem}"),
            Self::Invalid { place, setting } => write!(f, "{place}: {setting}"),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Combines the sources and checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] with all faults.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let layers = layers(sources)?;
        let unknown: Vec<_> = layers.iter().flat_map(Layer::unknown).collect();
        if !unknown.is_empty() {
            return Err(ConfigError::Faults(unknown));
        }
        let mut figment = Figment::new();
        for layer in layers {
            figment = figment.merge(layer);
        }
        let place =
            |key: &str| figment.find_metadata(key).map_or_else(|| "default".to_owned(), |at| at.name.to_string());
        if let Some((key, problem)) = keys::foreign_to_mode(|key| figment.find_value(key).ok()) {
            return Err(ConfigError::Faults(vec![Fault::Unfit { place: place(&key), key, problem }]));
        }
        let settings: Settings = figment.extract().map_err(|errors| unfit(errors, place))?;
        let invalid: Vec<_> = validation::check(&settings)
            .into_iter()
            .map(|setting| Fault::Invalid { place: place(setting.key), setting })
            .collect();
        if !invalid.is_empty() {
            return Err(ConfigError::Faults(invalid));
        }
        let origins = keys::all().into_iter().map(|key| (place(&key), key)).map(|(place, key)| (key, place)).collect();
        Ok(Self { settings, origins })
    }

    /// Returns the origin of the value of `key`: `default`, a file, a variable or a flag.
    pub fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }
}

impl fmt::Display for Config {
    /// Writes the settings as a TOML file, with the origin of each value as a comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = None;
        for (key, value) in keys::values(&self.settings) {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
            if table.as_deref() != Some(section) {
                if !section.is_empty() {
                    writeln!(f, "\n[{section}]")?;
                }
                table = Some(section.to_owned());
            }
            writeln!(f, "{name} = {value}  # {}", self.origin(&key))?;
        }
        Ok(())
    }
}

/// The values of one source.
struct Layer {
    place: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layer {
    fn unknown(&self) -> Vec<Fault> {
        let fault = |key: String| Fault::Unknown { place: self.place.clone(), nearest: keys::nearest(&key), key };
        keys::unknown_in(&self.values).into_iter().map(fault).collect()
    }
}

/// Returns the layers in this order: defaults, file, variables, flags.
fn layers(sources: &Sources) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    layers.extend(file_layer(sources.file.as_deref())?);
    for (name, value) in &sources.variables {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let Some(key) = name.strip_prefix(PREFIX).filter(|key| !key.is_empty()) else { continue };
        let key = key.to_lowercase().replace("__", ".");
        layers.push(single(format!("environment variable {name}"), &key, &value));
    }
    for Flag { name, key, value } in &sources.flags {
        layers.push(single(format!("flag {name}"), key, value));
    }
    let sets_mode = |layer: &Layer| Value::from(layer.values.clone()).find("registration.mode").is_some();
    let mut defaults = defaults()?;
    if layers.iter().any(sets_mode) {
        // The settings of the default mode do not belong to another mode.
        defaults.remove("registration");
    }
    layers.insert(0, Layer { place: "default".to_owned(), values: defaults });
    Ok(layers)
}

fn defaults() -> Result<Dict, ConfigError> {
    let data = Serialized::defaults(Settings::default()).data();
    let mut profiles = data.map_err(|errors| unfit(errors, |_| "default".to_owned()))?;
    Ok(profiles.remove(&Profile::Default).unwrap_or_default())
}

fn file_layer(named: Option<&Path>) -> Result<Option<Layer>, ConfigError> {
    let path = named.unwrap_or(Path::new(FILE));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::Unreadable { path: path.to_owned(), error }),
    };
    let values = toml::from_str(&text).map_err(|error| {
        let message = error.to_string().trim_end().to_owned();
        ConfigError::NotToml { path: path.to_owned(), message }
    })?;
    Ok(Some(Layer { place: path.display().to_string(), values }))
}

/// Returns a layer with one value. The value is parsed as TOML if it is TOML, and is text
/// otherwise.
fn single(place: String, key: &str, value: &str) -> Layer {
    let value = match keys::is_text(key) {
        true => Value::from(value),
        // A text that is not TOML stays text. For a setting with a number, that is a type error.
        false => toml::from_str::<Dict>(&format!("value = {value}"))
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .unwrap_or_else(|| Value::from(value)),
    };
    let values = match figment::util::nest(key, value) {
        Value::Dict(_, values) => values,
        _ => Dict::new(),
    };
    Layer { place, values }
}

fn unfit(errors: figment::Error, place: impl Fn(&str) -> String) -> ConfigError {
    let faults = errors.into_iter().map(|error| {
        let key = error.path.join(".");
        let place = error.metadata.as_ref().map_or_else(|| place(&key), |metadata| metadata.name.to_string());
        Fault::Unfit { place, key, problem: error.kind.to_string() }
    });
    ConfigError::Faults(faults.collect())
}
