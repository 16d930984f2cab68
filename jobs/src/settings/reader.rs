//! Reads settings from strings, and reports everything that is wrong, not just the first.

use std::{fmt, str::FromStr, time::Duration};

use super::{Kind, Setting};
use crate::units;

/// Reads settings one after another and keeps what is wrong with them.
pub struct Reader<'a> {
    var: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<(String, String)>,
}

/// All variables that are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<(String, String)>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, plural) = (self.0.len(), if self.0.len() == 1 { " is" } else { "s are" });
        writeln!(f, "{count} environment variable{plural} wrong:")?;
        self.0.iter().try_for_each(|(name, why)| writeln!(f, "  {name}: {why}"))
    }
}

impl<'a> Reader<'a> {
    /// Reads through `var`, which is the process's environment, or a table in a test.
    pub fn new(var: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { var, problems: Vec::new() }
    }

    fn read<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (_, text) = setting.set_as(self.var)?;
        parse(text.trim()).map_err(|why| self.problem(setting, why)).ok()
    }

    fn read_or<T>(&mut self, setting: &'static Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let read = self.read(setting, &parse);
        read.unwrap_or_else(|| {
            let default = setting.default.value().expect("only settings with a default are read as values");
            parse(default).expect("defaults are right: a test reads each")
        })
    }

    /// Says that a setting is wrong for a reason that only the caller knows.
    pub fn problem(&mut self, setting: &'static Setting, why: impl Into<String>) {
        let name = setting.set_as(self.var).map_or(setting.name, |(name, _)| name);
        self.problems.push((name.to_owned(), why.into()));
    }

    /// A value that may be absent; an empty one counts as absent.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, setting: &'static Setting) -> Option<T> {
        self.read(setting, parse)
    }

    /// A value, else the default of the table.
    pub fn value<T: FromStr<Err: fmt::Display>>(&mut self, setting: &'static Setting) -> T {
        self.read_or(setting, parse)
    }

    /// A value, else one that the caller computed: the table tells how in words.
    pub fn value_or<T: FromStr<Err: fmt::Display>>(&mut self, setting: &'static Setting, default: T) -> T {
        self.optional(setting).unwrap_or(default)
    }

    /// A duration such as `30s`, else the default of the table.
    pub fn duration(&mut self, setting: &'static Setting) -> Duration {
        debug_assert_eq!(setting.kind, Kind::Duration, "{}", setting.name);
        self.read_or(setting, |text| units::duration(text).map_err(|error| error.to_string()))
    }

    /// A size such as `512m`, else the default of the table.
    pub fn bytes(&mut self, setting: &'static Setting) -> u64 {
        debug_assert_eq!(setting.kind, Kind::Bytes, "{}", setting.name);
        self.read_or(setting, bytes)
    }

    /// A size such as `512m`, else one that the caller computed.
    pub fn bytes_or(&mut self, setting: &'static Setting, default: u64) -> u64 {
        debug_assert_eq!(setting.kind, Kind::Bytes, "{}", setting.name);
        self.read(setting, bytes).unwrap_or(default)
    }

    /// `true` or `false`, else the default of the table.
    pub fn switch(&mut self, setting: &'static Setting) -> bool {
        debug_assert_eq!(setting.kind, Kind::Switch, "{}", setting.name);
        self.read_or(setting, |text| text.parse().map_err(|_| "must be `true` or `false`".to_owned()))
    }

    /// A list separated by commas, else the default of the table, else an empty one.
    pub fn list<T: FromStr<Err: fmt::Display>>(&mut self, setting: &'static Setting) -> Vec<T> {
        debug_assert_eq!(setting.kind, Kind::List, "{}", setting.name);
        let items = |text: &str| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| item.parse().map_err(|error: T::Err| format!("{item:?}: {error}"))).collect()
        };
        let default = || items(setting.default.value().unwrap_or_default());
        let read = self.read(setting, items).filter(|list: &Vec<T>| !list.is_empty());
        read.unwrap_or_else(|| default().expect("defaults are right: a test reads each"))
    }

    /// `value`, unless something was wrong.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn finish<T>(self, value: impl FnOnce() -> Option<T>) -> Result<T, Problems> {
        match value() {
            Some(value) if self.problems.is_empty() => Ok(value),
            Some(_) | None => Err(Problems(self.problems)),
        }
    }
}

fn parse<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn bytes(text: &str) -> Result<u64, String> {
    units::bytes(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        Secret,
        settings::{
            GITFAAS_GITHUB_WEBHOOK_SECRET, GITFAAS_LISTEN, GITFAAS_PROXY_VOLUME, GITFAAS_SHUTDOWN_GRACE,
            GITFAAS_WORKER_LABELS,
        },
    };

    #[test]
    fn every_problem_is_named_at_once() {
        let var = |name: &str| match name {
            "GITFAAS_LISTEN" => Some("nonsense".to_owned()),
            "GITFAAS_SHUTDOWN_GRACE" => Some("soon".to_owned()),
            _ => None,
        };
        let mut env = Reader::new(&var);
        let listen = env.value::<SocketAddr>(GITFAAS_LISTEN);
        let secret = env.optional::<Secret>(GITFAAS_GITHUB_WEBHOOK_SECRET);
        env.problem(GITFAAS_GITHUB_WEBHOOK_SECRET, "not set");
        env.duration(GITFAAS_SHUTDOWN_GRACE);
        insta::assert_snapshot!(env.finish(|| secret.map(|_| listen)).unwrap_err(), @r"
        3 environment variables are wrong:
          GITFAAS_LISTEN: invalid socket address syntax
          GITFAAS_GITHUB_WEBHOOK_SECRET: not set
          GITFAAS_SHUTDOWN_GRACE: must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`
        ");
    }

    #[test]
    fn what_is_not_set_is_read_from_the_table() {
        let mut env = Reader::new(&|_| None);
        assert_eq!(env.value::<SocketAddr>(GITFAAS_LISTEN).to_string(), "127.0.0.1:3000");
        assert_eq!(env.list::<String>(GITFAAS_WORKER_LABELS), ["default"]);
    }

    #[test]
    fn a_wrong_value_is_named_as_it_was_written() {
        let var = |name: &str| (name == "GITFAAS_DOOR_VOLUME").then(|| "a b".to_owned());
        let mut env = Reader::new(&var);
        env.problem(GITFAAS_PROXY_VOLUME, "no volume");
        let Problems(problems) = env.finish(|| Some(())).unwrap_err();
        assert_eq!(problems, [("GITFAAS_DOOR_VOLUME".to_owned(), "no volume".to_owned())]);
    }
}
