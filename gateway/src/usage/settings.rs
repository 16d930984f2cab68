//! The limits of every owner, unless an operator overrides them for one owner.
//!
//! Limits in bytes default to the owner's share of the store, so that [`Stores::max_owners`] owners at their
//! limits fit and some of them can be given more; limits that do not fit are refused at start-up.

use std::collections::BTreeMap;

use jobs::{
    log::MAX_LOG_BYTES,
    settings::{
        GITFAAS_MAX_DELIVERIES_PER_USER, GITFAAS_MAX_INPUTS_PER_USER, GITFAAS_MAX_LOGS_PER_USER,
        GITFAAS_MAX_QUEUED_PER_USER, GITFAAS_MAX_RECORDS_PER_USER, GITFAAS_MAX_REFS_PER_USER,
        GITFAAS_MAX_REPOS_PER_USER, GITFAAS_MAX_RESULTS_PER_USER, GITFAAS_MAX_SECRETS_PER_USER,
        GITFAAS_MAX_TOKENS_PER_USER, GITFAAS_STORE_DELIVERIES, GITFAAS_STORE_INPUTS, GITFAAS_STORE_LOGS,
        GITFAAS_STORE_RECORDS, GITFAAS_STORE_REFS, GITFAAS_STORE_RESULTS, GITFAAS_STORE_SECRETS, Reader,
        Setting,
    },
    stores::Stores,
    usage::{Overrides, Resource},
};

/// Queued jobs of one owner: a matrix build fits, a runaway script does not.
const MAX_QUEUED: u64 = 1000;
/// Recorded refs of an owner's registrations together: a hundred repositories with a hundred branches.
const MAX_REFS: u64 = 10_000;
/// The longest record of a queued job, in bytes: arguments, path filters and a name at their longest.
const MAX_WAITING_RECORD_BYTES: u64 = 20 << 10;
/// The size of the entry of a ref, in bytes, with its key.
const REF_BYTES: u64 = 350;
/// The longest result that workers keep by default, in bytes: at least one of them fits.
const MIN_RESULTS_BYTES: u64 = 1 << 20;
/// The smallest useful limit of deliveries, records, inputs and secrets, in bytes.
const MIN_BYTES: u64 = 64 << 10;

/// Limits of every owner, and the stores that they share.
#[derive(Debug, Clone)]
pub struct Settings {
    limits: BTreeMap<Resource, u64>,
    stores: Stores,
}

/// The setting of a limit.
fn setting(resource: Resource) -> &'static Setting {
    match resource {
        Resource::Queued => GITFAAS_MAX_QUEUED_PER_USER,
        Resource::Repos => GITFAAS_MAX_REPOS_PER_USER,
        Resource::Tokens => GITFAAS_MAX_TOKENS_PER_USER,
        Resource::Secrets => GITFAAS_MAX_SECRETS_PER_USER,
        Resource::Refs => GITFAAS_MAX_REFS_PER_USER,
        Resource::Records => GITFAAS_MAX_RECORDS_PER_USER,
        Resource::Logs => GITFAAS_MAX_LOGS_PER_USER,
        Resource::Results => GITFAAS_MAX_RESULTS_PER_USER,
        Resource::Inputs => GITFAAS_MAX_INPUTS_PER_USER,
        Resource::Deliveries => GITFAAS_MAX_DELIVERIES_PER_USER,
    }
}

/// The store that limits of this kind share, its size in bytes, and the setting of that.
fn store(resource: Resource, stores: &Stores) -> Option<(u64, &'static Setting)> {
    match resource {
        Resource::Queued | Resource::Repos | Resource::Tokens => None,
        Resource::Secrets => Some((stores.secrets, GITFAAS_STORE_SECRETS)),
        Resource::Refs => Some((stores.refs / REF_BYTES, GITFAAS_STORE_REFS)),
        Resource::Records => Some((stores.records, GITFAAS_STORE_RECORDS)),
        Resource::Logs => Some((stores.logs, GITFAAS_STORE_LOGS)),
        Resource::Results => Some((stores.results, GITFAAS_STORE_RESULTS)),
        Resource::Inputs => Some((stores.inputs, GITFAAS_STORE_INPUTS)),
        Resource::Deliveries => Some((stores.deliveries, GITFAAS_STORE_DELIVERIES)),
    }
}

/// The smallest value of a limit.
fn minimum(resource: Resource) -> u64 {
    match resource {
        Resource::Queued | Resource::Repos | Resource::Tokens | Resource::Refs => 1,
        Resource::Logs => MAX_LOG_BYTES,
        Resource::Results => MIN_RESULTS_BYTES,
        Resource::Secrets | Resource::Records | Resource::Inputs | Resource::Deliveries => MIN_BYTES,
    }
}

/// Reads a limit; those of stores default to the owner's share.
fn read(env: &mut Reader<'_>, resource: Resource, stores: &Stores) -> u64 {
    let share = store(resource, stores).map_or(u64::MAX, |(size, _)| stores.share(size));
    let setting = setting(resource);
    match resource {
        Resource::Queued => {
            let fit = stores.share(stores.records) / MAX_WAITING_RECORD_BYTES;
            env.value_or(setting, MAX_QUEUED.min(fit).max(1))
        }
        Resource::Repos | Resource::Tokens => env.value(setting),
        Resource::Refs => env.value_or(setting, MAX_REFS.min(share)),
        Resource::Secrets
        | Resource::Records
        | Resource::Logs
        | Resource::Results
        | Resource::Inputs
        | Resource::Deliveries => env.bytes_or(setting, share),
    }
}

impl Settings {
    /// Reads all limits, and reports each that is too small or does not fit.
    pub fn read(env: &mut Reader<'_>, stores: &Stores) -> Self {
        let mut limits = BTreeMap::new();
        for resource in Resource::ALL {
            limits.insert(resource, read(env, resource, stores));
        }
        let settings = Self { limits, stores: *stores };
        for (resource, limit) in &settings.limits {
            if let Err(why) = settings.fits(*resource, *limit, stores.max_owners) {
                env.problem(setting(*resource), why);
            }
        }
        let (queued, records) =
            (settings.default_limit(Resource::Queued), settings.default_limit(Resource::Records));
        if queued.saturating_mul(MAX_WAITING_RECORD_BYTES) > records {
            let most = records / MAX_WAITING_RECORD_BYTES;
            let name = setting(Resource::Records).name;
            let why = format!(
                "the records of {queued} waiting jobs do not fit into {name} ({}); {most} do",
                format_bytes(records)
            );
            env.problem(setting(Resource::Queued), why);
        }
        settings
    }

    /// Checks that so many owners with this limit fit.
    fn fits(&self, resource: Resource, limit: u64, owners: u64) -> Result<(), String> {
        check_minimum(resource, limit)?;
        let Some((store, set_by)) = store(resource, &self.stores) else { return Ok(()) };
        let shared = Stores::shared(store);
        match limit.checked_mul(owners).is_some_and(|all| all <= shared) {
            true => Ok(()),
            false => Err(format!(
                "{owners} owners (GITFAAS_MAX_OWNERS) with {} each do not fit into {}; {} each do",
                format_amount(resource, limit),
                set_by.name,
                format_amount(resource, shared / owners.max(1)),
            )),
        }
    }

    /// The limit of an owner without an override.
    pub fn default_limit(&self, resource: Resource) -> u64 {
        self.limits.get(&resource).copied().unwrap_or_default()
    }

    /// The limit of an owner with these overrides.
    pub fn limit(&self, resource: Resource, overrides: &Overrides) -> u64 {
        overrides.get(&resource).copied().unwrap_or_else(|| self.default_limit(resource))
    }

    /// The limit of owners.
    pub fn max_owners(&self) -> u64 {
        self.stores.max_owners
    }

    /// Checks that this override fits beside those of `others`: all of them, and the remaining owners at the
    /// default limit, fit into the store.
    ///
    /// # Errors
    /// One sentence.
    pub fn check_override(&self, resource: Resource, limit: u64, others: &[Overrides]) -> Result<(), String> {
        check_minimum(resource, limit).map_err(|why| format!("{resource}: {why}"))?;
        let Some((store, set_by)) = store(resource, &self.stores) else { return Ok(()) };
        let given = others.iter().filter_map(|overrides| overrides.get(&resource));
        let at_default = self.max_owners().saturating_sub(1 + given.clone().count() as u64);
        let all = given.fold(limit, |sum, other| sum.saturating_add(*other));
        let all = all.saturating_add(at_default.saturating_mul(self.default_limit(resource)));
        match all <= Stores::shared(store) {
            true => Ok(()),
            false => Err(format!(
                "{resource}: with what the other owners may have this is more than {} holds",
                set_by.name
            )),
        }
    }
}

/// Refuses a limit that is too small to be useful.
fn check_minimum(resource: Resource, limit: u64) -> Result<(), String> {
    let minimum = minimum(resource);
    if limit < minimum {
        Err(format!("must be {} at least", format_amount(resource, minimum)))
    } else {
        Ok(())
    }
}

/// Formats an amount of a resource for messages.
pub(crate) fn format_amount(resource: Resource, amount: u64) -> String {
    if resource.is_in_bytes() { format_bytes(amount) } else { amount.to_string() }
}

/// Formats a number of bytes with a unit.
fn format_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, word)) => format!("{}{word}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(table: &[(&str, &str)]) -> Result<Settings, jobs::settings::Problems> {
        let table: HashMap<String, String> =
            table.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let var = |name: &str| table.get(name).cloned();
        let mut env = Reader::new(&var);
        let stores = Stores::read(&mut env);
        let settings = Settings::read(&mut env, &stores);
        env.finish(|| Some(settings))
    }

    #[test]
    fn nothing_set_fits_at_one_owner_and_at_many() {
        for owners in ["1", "32", "200"] {
            read(&[("GITFAAS_MAX_OWNERS", owners)]).unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_says_what_would() {
        let problems = read(&[
            ("GITFAAS_MAX_OWNERS", "10"),
            ("GITFAAS_MAX_LOGS_PER_USER", "250m"),
            ("GITFAAS_MAX_RESULTS_PER_USER", "0"),
            ("GITFAAS_MAX_REPOS_PER_USER", "0"),
            ("GITFAAS_MAX_QUEUED_PER_USER", "100000"),
        ]);
        insta::assert_snapshot!(problems.unwrap_err(), @r"
        4 environment variables are wrong:
          GITFAAS_MAX_REPOS_PER_USER: must be 1 at least
          GITFAAS_MAX_LOGS_PER_USER: 10 owners (GITFAAS_MAX_OWNERS) with 250m each do not fit into GITFAAS_STORE_LOGS; 184m each do
          GITFAAS_MAX_RESULTS_PER_USER: must be 1m at least
          GITFAAS_MAX_QUEUED_PER_USER: the records of 100000 waiting jobs do not fit into GITFAAS_MAX_RECORDS_PER_USER (69m); 3538 do
        ");
    }

    #[test]
    fn an_override_must_fit_beside_the_others() {
        let settings = read(&[("GITFAAS_MAX_OWNERS", "10"), ("GITFAAS_MAX_LOGS_PER_USER", "50m")]).unwrap();
        let with = |bytes| Overrides::from([(Resource::Logs, bytes)]);
        assert_eq!(settings.check_override(Resource::Logs, 1 << 30, &[]), Ok(()));
        let why = settings.check_override(Resource::Logs, 1 << 30, &[with(1 << 30)]).unwrap_err();
        assert!(why.contains("more than GITFAAS_STORE_LOGS holds"), "{why}");
        assert!(settings.check_override(Resource::Repos, 0, &[]).is_err());
        assert_eq!(settings.limit(Resource::Logs, &with(7)), 7);
    }
}
