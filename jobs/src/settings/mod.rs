//! The one table of settings: name, kind, default, help and roles of each.
//!
//! A new setting is one entry here and one line that reads it. [`Reader`] takes entries, so nothing is read
//! that is not in the table. `gitfaas config` lists it; `.env.example`, `docs/settings.md` and the lists in
//! `docker-compose.yml` are written from it by `scripts/settings`, and `jobs/tests/settings` holds them to it.

mod commands;
mod compose;
mod gateway;
mod owners;
mod reader;
mod worker;

pub use commands::*;
pub use compose::*;
pub use gateway::*;
pub use owners::*;
pub use reader::{Problems, Reader};
pub use worker::*;

/// A setting, which is an environment variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// What holds when it is not set.
    pub default: Preset,
    /// What it does, in Markdown, as a fragment.
    pub help: &'static str,
    /// Which programs read it.
    pub roles: &'static [Role],
    /// Names that it had before; taken where `name` is not set.
    pub old_names: &'static [&'static str],
}

/// Kinds of values; they tell how a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A secret, which is never shown.
    Secret,
    /// A URL.
    Url,
    /// An IP address and a port.
    Address,
    /// The path of a file.
    File,
    /// The path of a folder.
    Folder,
    /// A whole number.
    Count,
    /// A number of cores, such as `2` or `0.5`.
    Cores,
    /// `90s`, `5m`, `24h`, `90d`.
    Duration,
    /// Bytes, or `256m`, `1g`; 1024-based.
    Bytes,
    /// Values separated by commas.
    List,
    /// `true` or `false`.
    Switch,
}

/// What holds when a setting is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// This value, as it would be written in the environment.
    Value(&'static str),
    /// A value that is computed; this tells how.
    Words(&'static str),
    /// Nothing.
    Nothing,
}

/// What reads settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Commands that talk to a gateway or to NATS.
    Commands,
    /// `gitfaas gateway`, and that part of `gitfaas up`.
    Gateway,
    /// `gitfaas worker`, and that part of `gitfaas up`.
    Worker,
    /// `gitfaas observer`, and that part of `gitfaas up`.
    Observer,
    /// `docker-compose.yml`, and no program.
    Compose,
}

/// Settings that are listed under one heading.
#[derive(Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// Its settings.
    pub settings: &'static [&'static Setting],
}

/// All settings, in the order in which one meets them.
pub const GROUPS: &[Group] = &[
    commands::COMMANDS,
    commands::ALL_PROGRAMS,
    gateway::GATEWAY,
    gateway::FUNCTIONS,
    gateway::REQUEST_LIMITS,
    owners::STORES,
    owners::OWNER_LIMITS,
    gateway::GITHUB,
    gateway::SIGN_IN,
    worker::GATEWAY_AND_WORKER,
    worker::WORKER,
    worker::PREPARE,
    worker::JOB_LIMITS,
    commands::OBSERVER,
    compose::COMPOSE,
];

/// All settings.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings).copied()
}

/// The setting of this name, also of an old one.
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.names().any(|known| known == name))
}

/// The setting whose name is most like this one, if any is like it.
pub fn nearest(name: &str) -> Option<&'static Setting> {
    /// So many letters may be wrong, missing, too many or swapped.
    const MOST_WRONG: usize = 3;
    let wrong = |setting: &&Setting| strsim::damerau_levenshtein(setting.name, name);
    all().filter(|setting| wrong(setting) <= MOST_WRONG).min_by_key(wrong)
}

impl Setting {
    /// Its name, then its old ones.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.old_names.iter().copied())
    }

    /// Its text as it is set, and the name under which it is; an empty text counts as not set.
    pub fn set_as(&self, var: &dyn Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
        let text = |name| var(name).filter(|text| !text.trim().is_empty());
        self.names().find_map(|name| Some((name, text(name)?)))
    }

    /// Its text where it is set, and otherwise its default where that is a value.
    pub fn text(&self, var: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        self.set_as(var).map(|(_, text)| text).or_else(|| self.default.value().map(str::to_owned))
    }

    /// Who reads it, in words.
    pub fn used_by(&self) -> String {
        match self.roles {
            ALL => "all".to_owned(),
            roles => roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
}

impl Preset {
    /// The default, where it is a value.
    pub const fn value(self) -> Option<&'static str> {
        match self {
            Self::Value(text) => Some(text),
            Self::Words(_) | Self::Nothing => None,
        }
    }

    /// The value, or how it is computed; empty where there is none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Words(text) => text,
            Self::Nothing => "",
        }
    }
}

impl Role {
    /// Its name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commands => "client commands",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Observer => "observer",
            Self::Compose => "docker-compose.yml",
        }
    }
}

impl Kind {
    /// How a value is written, in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Url => "URL",
            Self::Address => "address",
            Self::File => "file",
            Self::Folder => "folder",
            Self::Count => "number",
            Self::Cores => "cores",
            Self::Duration => "duration",
            Self::Bytes => "size",
            Self::List => "list",
            Self::Switch => "true or false",
        }
    }
}

/// Every program, and the client commands.
const ALL: &[Role] = &[Role::Commands, Role::Gateway, Role::Worker, Role::Observer];

/// Makes a group of settings, and a constant of each setting's own name.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $group:ident = $title:literal, $roles:expr;
        $($name:ident $(was [$($old:literal),+])?: $kind:ident = $preset:expr, $help:literal;)+
    ) => {
        $(
            #[doc = $help]
            pub const $name: &crate::settings::Setting = &crate::settings::Setting {
                name: stringify!($name),
                kind: crate::settings::Kind::$kind,
                default: $preset,
                help: $help,
                roles: $roles,
                old_names: &[$($($old),+)?],
            };
        )+
        $(#[$doc])*
        pub(super) const $group: crate::settings::Group =
            crate::settings::Group { title: $title, settings: &[$($name),+] };
    };
}
use settings;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::SocketAddr};

    use url::Url;

    use super::*;
    use crate::units;

    #[test]
    fn no_name_is_listed_twice() {
        let names: Vec<_> = all().flat_map(Setting::names).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for setting in all() {
            let Some(text) = setting.default.value() else { continue };
            let right = match setting.kind {
                Kind::Text | Kind::Secret | Kind::File | Kind::Folder | Kind::List => true,
                Kind::Url => text.parse::<Url>().is_ok(),
                Kind::Address => text.parse::<SocketAddr>().is_ok(),
                Kind::Count => text.parse::<u64>().is_ok(),
                Kind::Cores => text.parse::<units::Cores>().is_ok(),
                Kind::Duration => units::duration(text).is_ok(),
                Kind::Bytes => units::bytes(text).is_ok(),
                Kind::Switch => text.parse::<bool>().is_ok(),
            };
            assert!(right, "{} = {text}", setting.name);
        }
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        assert_eq!(find("GITFAAS_LISTN"), None);
        assert_eq!(nearest("GITFAAS_LISTN"), Some(GITFAAS_LISTEN));
        assert_eq!(nearest("GITFAAS_SOMETHING_ELSE"), None);
    }

    #[test]
    fn an_old_name_is_taken_beside_the_new_one() {
        let old = |name: &str| (name == "GITFAAS_DOOR_VOLUME").then(|| "old".to_owned());
        assert_eq!(GITFAAS_PROXY_VOLUME.text(&old).as_deref(), Some("old"));
        assert_eq!(find("GITFAAS_DOOR_VOLUME"), Some(GITFAAS_PROXY_VOLUME));
        let both = |name: &str| match name {
            "GITFAAS_PROXY_VOLUME" => Some("new".to_owned()),
            "GITFAAS_DOOR_VOLUME" => Some("old".to_owned()),
            _ => None,
        };
        assert_eq!(GITFAAS_PROXY_VOLUME.text(&both).as_deref(), Some("new"));
    }
}
