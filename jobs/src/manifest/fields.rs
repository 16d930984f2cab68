//! Reads one field after another and collects what is wrong instead of stopping at it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{Languages, ManifestError, Network};
use crate::{Filter, units};

/// A thousandth of a core is Docker's finest grain that still runs.
const MIN_CPU_MILLIS: u64 = 10;
/// Arguments longer than this in all would not fit a process's argv.
const MAX_ARG_BYTES: usize = 32 * 1024;

/// The fields not read yet, and the problems found so far.
pub(super) struct Fields {
    left: Map<String, Value>,
    /// What stands before the names of fields in messages, such as `http.`.
    path: String,
    problems: Vec<String>,
    seen: Vec<&'static str>,
    /// Fields of objects inside that we do not know, with their paths.
    unknown: Vec<String>,
}

impl Fields {
    pub(super) fn new(object: Map<String, Value>) -> Self {
        Self::below(String::new(), object)
    }

    fn below(path: String, object: Map<String, Value>) -> Self {
        Self { left: object, path, problems: Vec::new(), seen: Vec::new(), unknown: Vec::new() }
    }

    /// The fields of an object inside this one; what is found there is given back with [`Self::join`].
    pub(super) fn object(&mut self, name: &'static str) -> Option<Self> {
        match self.take(name)? {
            Value::Object(object) => Some(Self::below(format!("{}{name}.", self.path), object)),
            _ => {
                self.problem(format!("{name} must be an object"));
                None
            }
        }
    }

    pub(super) fn join(&mut self, inside: Self) {
        self.problems.extend(inside.problems);
        self.unknown.extend(inside.left.keys().map(|name| format!("{}{name}", inside.path)));
        self.unknown.extend(inside.unknown);
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        let value = self.left.remove(name).filter(|value| !value.is_null());
        if value.as_ref().is_some_and(|value| value.as_str() != Some("")) {
            self.seen.push(name);
        }
        value
    }

    /// Whether it is there and was not read yet.
    pub(super) fn is_given(&self, name: &'static str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// Notes a problem; the text begins with the name of the field.
    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(format!("{}{text}", self.path));
    }

    pub(super) fn language(&mut self, languages: &impl Languages) -> String {
        match self.take("language") {
            Some(Value::String(name)) if languages.required_fields(&name).is_some() => return name,
            Some(Value::String(name)) => {
                self.problem(format!("language {name:?} is not one of {}", languages.names().join(", ")));
            }
            Some(_) => self.problem("language must be a string".to_owned()),
            None => self.problem(format!("language is missing (one of {})", languages.names().join(", "))),
        }
        String::new()
    }

    pub(super) fn required_by(&mut self, language: &str, languages: &impl Languages) {
        for field in languages.required_fields(language).unwrap_or_default() {
            if !self.seen.contains(&field.as_str()) {
                self.problem(format!("{field} is missing ({language} needs it)"));
            }
        }
    }

    /// A path inside the repository; an empty string counts as absent.
    pub(super) fn file(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(path) if path.is_empty() => None,
            Value::String(path) if is_inside(&path) => Some(path),
            Value::String(path) => {
                self.problem(format!("{name} must be a relative path inside the repository, not {path:?}"));
                None
            }
            _ => {
                self.problem(format!("{name} must be a string"));
                None
            }
        }
    }

    pub(super) fn args(&mut self) -> Vec<String> {
        let args = match self.take("arg") {
            None => Vec::new(),
            Some(Value::String(text)) => match shell_words::split(&text) {
                Ok(words) => words,
                Err(_) => {
                    self.problem("arg has a quote that is not closed".to_owned());
                    Vec::new()
                }
            },
            Some(value) => match strings(&value) {
                Some(words) => words,
                None => {
                    self.problem("arg must be a string or a list of strings".to_owned());
                    Vec::new()
                }
            },
        };
        if args.iter().any(|arg| arg.contains('\0')) {
            self.problem("arg holds a NUL character, which no program can be given".to_owned());
        }
        if args.iter().map(String::len).sum::<usize>() > MAX_ARG_BYTES {
            self.problem(format!("arg is longer than {MAX_ARG_BYTES} bytes"));
        }
        args
    }

    pub(super) fn timeout(&mut self, default: Duration, ceiling: Duration) -> Duration {
        match self.take("timeout").map(|value| duration(&value)) {
            None => return default.min(ceiling),
            Some(Err(error)) => self.problem(format!("timeout {error}")),
            Some(Ok(Duration::ZERO)) => self.problem("timeout must be above 0".to_owned()),
            Some(Ok(timeout)) if timeout > ceiling => {
                let (value, ceiling) = (units::show_duration(timeout), units::show_duration(ceiling));
                self.problem(format!("timeout is {value}, over the ceiling of {ceiling}"));
            }
            Some(Ok(timeout)) => return timeout,
        }
        default
    }

    /// A number of whole seconds; 0 is one.
    pub(super) fn whole_seconds(&mut self, name: &'static str, most: u32) -> Option<u32> {
        match duration(&self.take(name)?) {
            Err(error) => self.problem(format!("{name} {error}")),
            Ok(duration) if duration.subsec_nanos() > 0 => {
                self.problem(format!("{name} must be whole seconds"));
            }
            Ok(duration) => match u32::try_from(duration.as_secs()).ok().filter(|s| *s <= most) {
                Some(s) => return Some(s),
                None => {
                    let value = units::show_duration(duration);
                    self.problem(format!("{name} is {value}, over the most of {most} s"));
                }
            },
        }
        None
    }

    pub(super) fn bytes(&mut self, name: &'static str, default: u64, least: u64, ceiling: u64) -> u64 {
        let read = match self.take(name) {
            None => return default.min(ceiling),
            Some(Value::Number(number)) => {
                number.as_u64().filter(|n| i64::try_from(*n).is_ok()).ok_or(units::NotAUnit::Bytes)
            }
            Some(Value::String(text)) => units::bytes(&text),
            Some(_) => Err(units::NotAUnit::Bytes),
        };
        let show = units::show_bytes;
        match read {
            Err(error) => self.problem(format!("{name} {error}")),
            Ok(bytes) if bytes > ceiling => {
                self.problem(format!("{name} is {}, over the ceiling of {}", show(bytes), show(ceiling)));
            }
            Ok(bytes) if bytes < least => {
                self.problem(format!("{name} is {}, below the least of {}", show(bytes), show(least)));
            }
            Ok(bytes) => return bytes,
        }
        default
    }

    /// Thousandths of a core.
    pub(super) fn cpus(&mut self, ceiling: u64) -> u64 {
        let default = ceiling.min(1000);
        let Some(value) = self.take("cpus") else { return default };
        match value.as_f64() {
            Some(cpus) if cpus * 1000.0 > ceiling as f64 => {
                self.problem(format!("cpus is {cpus}, over the ceiling of {}", ceiling as f64 / 1000.0));
            }
            Some(cpus) if cpus * 1000.0 >= MIN_CPU_MILLIS as f64 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 10 and the ceiling"
                )]
                return (cpus * 1000.0) as u64;
            }
            Some(cpus) if cpus > 0.0 => self.problem(format!("cpus is {cpus}, below the least of 0.01")),
            Some(_) | None => self.problem("cpus must be a number above 0".to_owned()),
        }
        default
    }

    pub(super) fn network(&mut self) -> Network {
        let words = [("egress", Network::Egress), ("none", Network::None)];
        self.word("network", &words).unwrap_or(Network::Egress)
    }

    /// One of some words, each with its meaning.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        let found = words.iter().find(|(word, _)| value.as_str() == Some(*word));
        if found.is_none() {
            let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.problem(format!("{name} must be {}", quoted.join(" or ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.problem(format!("{name} must be a string"));
                None
            }
        }
    }

    pub(super) fn env(&mut self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let object = match self.take("env") {
            None => return env,
            Some(Value::Object(object)) => object,
            Some(_) => {
                self.problem("env must be an object of strings".to_owned());
                return env;
            }
        };
        for (name, value) in object {
            if name.starts_with("GITFAAS_") {
                self.problem(format!("env.{name} begins with GITFAAS_, which is reserved"));
            } else if !is_variable(&name) {
                self.problem(format!("env: {name:?} is not a name of a variable"));
            } else if let Value::String(value) = value {
                if value.contains('\0') {
                    self.problem(format!("env.{name} holds a NUL character"));
                }
                env.insert(name, value);
            } else {
                self.problem(format!("env.{name} must be a string"));
            }
        }
        env
    }

    pub(super) fn secrets(&mut self) -> Vec<String> {
        let names = self.list("secrets");
        for name in &names {
            if name.starts_with("GITFAAS_") {
                self.problem(format!("secrets: {name} begins with GITFAAS_, which is reserved"));
            } else if !is_variable(name) {
                self.problem(format!("secrets: {name:?} is not a name of a variable"));
            }
        }
        names
    }

    pub(super) fn filter(&mut self, name: &'static str) -> Filter {
        let globs = self.list(name);
        Filter::new(&globs).unwrap_or_else(|error| {
            self.problem(format!("{name}: {error}"));
            Filter::default()
        })
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            _ => {
                self.problem(format!("{name} must be true or false"));
                None
            }
        }
    }

    fn list(&mut self, name: &'static str) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        strings(&value).unwrap_or_else(|| {
            self.problem(format!("{name} must be a list of strings"));
            Vec::new()
        })
    }

    /// A list that names something where it is there; empty where it is absent or wrong.
    pub(super) fn names(&mut self, name: &'static str) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let names = strings(&value);
        match names.as_deref() {
            None => self.problem(format!("{name} must be a list of strings")),
            Some([]) => self.problem(format!("{name} must name at least one")),
            Some(_) => {}
        }
        names.unwrap_or_default()
    }

    /// The warnings, or everything that is wrong. Missing fields come last, in `required_by`.
    pub(super) fn finish(mut self) -> Result<Vec<String>, ManifestError> {
        if self.left.remove("artifacts").is_some() {
            let at = self
                .problems
                .iter()
                .position(|problem| problem.contains(" is missing ("))
                .unwrap_or(self.problems.len());
            self.problems.insert(at, "artifacts is reserved and cannot be used yet".to_owned());
        }
        if !self.problems.is_empty() {
            return Err(ManifestError { problems: self.problems });
        }
        // An editor's pointer to the schema is not a mistake.
        let unknown = self.left.into_iter().map(|(name, _)| name).filter(|name| name != "$schema");
        let unknown = unknown.chain(self.unknown);
        Ok(unknown
            .map(|name| format!("faas-manifest.json: the field {name:?} is not known and has no effect"))
            .collect())
    }
}

fn duration(value: &Value) -> Result<Duration, units::NotAUnit> {
    let seconds = |s| Duration::try_from_secs_f64(s).ok();
    match value {
        Value::Number(number) => number.as_f64().and_then(seconds).ok_or(units::NotAUnit::Duration),
        Value::String(text) => units::duration(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(units::NotAUnit::Duration),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A relative path that stays in the repository, however it is read.
fn is_inside(path: &str) -> bool {
    !path.starts_with(['/', '-'])
        && !path.contains(['\0', '\n', '\\'])
        && path.split('/').all(|part| part != ".." && part != ".git")
}

/// A name that every shell and language takes as a variable.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
