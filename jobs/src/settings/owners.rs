//! Settings of the stores, and of what one owner may have of them.

use super::{
    Preset::{Value, Words},
    Role, settings,
};

const GATEWAY_ONLY: &[Role] = &[Role::Gateway];

settings! {
    /// How large the stores are, and who shares them. All together leave a small disk its half.
    STORES = "Gateway: stores", GATEWAY_ONLY;
    // A class of students, or a small company.
    GITFAAS_MAX_OWNERS: Count = Value("32"),
        "users and installations that fit; an owner's limits are by default a share of the stores (docs/tenancy.md)";
    // Half a million of the usual length.
    GITFAAS_STORE_RECORDS: Bytes = Value("1g"), "job records of all owners";
    // A quarter of a million.
    GITFAAS_STORE_DELIVERIES: Bytes = Value("512m"), "deliveries of all owners";
    // A thousand logs that are as long as they may be.
    GITFAAS_STORE_LOGS: Bytes = Value("2g"), "logs of all owners";
    // A thousand results of the usual longest.
    GITFAAS_STORE_RESULTS: Bytes = Value("1g"), "long results of all owners";
    // A thousand inputs as long as they may be unless more is set.
    GITFAAS_STORE_INPUTS: Bytes = Value("1g"), "inputs of jobs of all owners";
    GITFAAS_STORE_SECRETS: Bytes = Value("128m"), "sealed secrets of all owners";
    GITFAAS_STORE_REFS: Bytes = Value("128m"), "each of: known refs, pushes, commits of all owners";
}

settings! {
    /// What every owner may take up who was given no limit of its own.
    OWNER_LIMITS = "Gateway: limits of one owner", GATEWAY_ONLY;
    GITFAAS_MAX_QUEUED_PER_USER: Count = Words("1000, or as many as fit the owner's share of the records"),
        "waiting jobs of one user";
    GITFAAS_MAX_REPOS_PER_USER: Count = Value("200"), "repositories that one user registered";
    GITFAAS_MAX_TOKENS_PER_USER: Count = Value("100"), "API tokens of one user";
    GITFAAS_MAX_RECORDS_PER_USER: Bytes = Words("the owner's share"), "one user's job records; the oldest go";
    GITFAAS_MAX_LOGS_PER_USER: Bytes = Words("the owner's share"), "one user's logs; the oldest jobs go";
    GITFAAS_MAX_RESULTS_PER_USER: Bytes = Words("the owner's share"), "one user's long results; the oldest jobs go";
    GITFAAS_MAX_INPUTS_PER_USER: Bytes = Words("the owner's share"),
        "inputs of one user's jobs; the oldest finished jobs go, and more than that is refused";
    GITFAAS_MAX_DELIVERIES_PER_USER: Bytes = Words("the owner's share"), "one user's deliveries; the oldest go";
    GITFAAS_MAX_SECRETS_PER_USER: Bytes = Words("the owner's share"), "one user's sealed secrets";
    // A hundred repositories with a hundred branches.
    GITFAAS_MAX_REFS_PER_USER: Count = Words("10000, or the owner's share"),
        "known branches and tags of one user's repositories";
}
