//! Reads configuration from strings, and reports everything that is wrong, not just the first.

use std::{fmt, str::FromStr, time::Duration};

use crate::units;

/// Reads variables one after another and keeps what is wrong with them.
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

    fn text(&self, name: &str) -> Option<String> {
        (self.var)(name).filter(|text| !text.trim().is_empty())
    }

    fn read<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        parse(text.trim()).map_err(|why| self.problem(name, why)).ok()
    }

    /// Says that a variable is wrong for a reason that only the caller knows.
    pub fn problem(&mut self, name: &str, why: impl Into<String>) {
        self.problems.push((name.to_owned(), why.into()));
    }

    /// A value that may be absent; an empty one counts as absent.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.read(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A value with a default.
    pub fn or<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    /// A value that must be there.
    pub fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        if self.text(name).is_none() {
            self.problem(name, "not set");
        }
        self.optional(name)
    }

    /// A duration such as `30s`, with a default.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.read(name, |text| units::duration(text).map_err(|error| error.to_string())).unwrap_or(default)
    }

    /// A size such as `512m`, with a default.
    pub fn bytes(&mut self, name: &str, default: u64) -> u64 {
        self.read(name, |text| units::bytes(text).map_err(|error| error.to_string())).unwrap_or(default)
    }

    /// A list separated by commas; absent means empty.
    pub fn list<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Vec<T> {
        self.read(name, |text| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| item.parse().map_err(|error: T::Err| format!("{item:?}: {error}"))).collect()
        })
        .unwrap_or_default()
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

    /// What is wrong so far, for configurations made of several parts.
    pub fn into_problems(self) -> Vec<(String, String)> {
        self.problems
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::Secret;

    #[test]
    fn every_problem_is_named_at_once() {
        let var = |name: &str| match name {
            "GITFAAS_LISTEN" => Some("nonsense".to_owned()),
            "GITFAAS_SHUTDOWN_GRACE" => Some("soon".to_owned()),
            _ => None,
        };
        let mut env = Reader::new(&var);
        let listen = env.or::<SocketAddr>("GITFAAS_LISTEN", SocketAddr::from(([127, 0, 0, 1], 3000)));
        let secret = env.required::<Secret>("GITFAAS_GITHUB_WEBHOOK_SECRET");
        env.duration("GITFAAS_SHUTDOWN_GRACE", Duration::from_secs(30));
        insta::assert_snapshot!(env.finish(|| secret.map(|_| listen)).unwrap_err(), @r"
        3 environment variables are wrong:
          GITFAAS_LISTEN: invalid socket address syntax
          GITFAAS_GITHUB_WEBHOOK_SECRET: not set
          GITFAAS_SHUTDOWN_GRACE: must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`
        ");
    }
}
