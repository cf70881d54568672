//! The settings that are in force, and where each comes from: defaults, a file, the environment, flags; the later wins.
//!
//! Nothing is taken for granted of what people write: a key that does not exist, a value of another type and a value that
//! makes no sense are each an error that names the place. Nothing in the settings is a secret (keys are in files that
//! they name), so all of them can be printed; an address that holds a password is refused.

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
    validation::{self, Nonsense},
};

/// The file that is read if no other is named, and it is there.
pub const FILE: &str = "regrow-ds.toml";

/// What the names of variables begin with. The rest is the key, in capitals, with `__` for each dot.
pub const PREFIX: &str = "REGROW_DS_";

/// Settings with their origins.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is in force.
    pub settings: Settings,
    origins: BTreeMap<String, String>,
}

/// Where settings may come from, beside the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named, which has to be there. Without one it is [`FILE`] in the working directory.
    pub file: Option<PathBuf>,
    /// The environment. Variables of other names are left alone.
    pub variables: Vec<(OsString, OsString)>,
    /// Flags that were given, each with the key that it sets.
    pub flags: Vec<Flag>,
}

/// A flag that sets a value.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag as it was written: `--listen`.
    pub name: &'static str,
    /// What it sets: `listen`.
    pub key: &'static str,
    /// To what.
    pub value: String,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: {message}", .path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        message: String,
    },
    /// Values that are wrong, each by itself.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

/// One thing that is wrong, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such setting.
    Unknown {
        /// The file, variable or flag.
        place: String,
        /// What stands there.
        key: String,
        /// The setting that was probably meant.
        nearest: Option<String>,
    },
    /// The value is not of the setting's type, or one is missing that belongs to others.
    Unfit {
        /// The file, variable or flag.
        place: String,
        /// The setting.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The value cannot be meant.
    Nonsense {
        /// The file, variable or flag.
        place: String,
        /// What is wrong, and what to do.
        nonsense: Nonsense,
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
            Self::Nonsense { place, nonsense } => write!(f, "{place}: {nonsense}"),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Puts the settings together, and checks them.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
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
        let nonsense: Vec<_> = validation::check(&settings)
            .into_iter()
            .map(|nonsense| Fault::Nonsense { place: place(nonsense.key), nonsense })
            .collect();
        if !nonsense.is_empty() {
            return Err(ConfigError::Faults(nonsense));
        }
        let origins = keys::all().into_iter().map(|key| (place(&key), key)).map(|(place, key)| (key, place)).collect();
        Ok(Self { settings, origins })
    }

    /// Where the value of `key` comes from: `default`, a file, a variable or a flag.
    pub fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }
}

impl fmt::Display for Config {
    /// As a TOML file that says the same, with the origin of each value behind it.
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

/// Everything that one place says.
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

/// Defaults, file, variables, flags.
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
        // What belongs to the default's mode says nothing about another.
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

/// A layer of one value, which is read as TOML where it is TOML, and else is text.
fn single(place: String, key: &str, value: &str) -> Layer {
    let value = match keys::is_text(key) {
        true => Value::from(value),
        // What is no value of TOML is text, and the wrong type for whoever wants a number.
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
