//! Settings of client commands, of the observer, and those that every program shares.

use super::{
    ALL,
    Preset::{Nothing, Value, Words},
    Role, settings,
};

settings! {
    /// Where client commands find the service.
    COMMANDS = "Client commands", &[Role::Commands];
    GITFAAS_URL: Url = Value("http://127.0.0.1:3000"), "where the gateway is";
    GITFAAS_TOKEN: Secret = Words("that of `gitfaas login`"), "an API token";
}

settings! {
    /// Shared by every program.
    ALL_PROGRAMS = "All programs", ALL;
    GITFAAS_DATA_DIR: Folder = Words("the user's data directory; `/data` in the image"),
        "mirrors, index, master key, own NATS, the worker's name";
    GITFAAS_NATS_URL: List = Words("`up` starts its own"),
        "NATS servers with user and password, such as `nats://user:password@host:4222`; without it commands use \
         what `up` left in the data directory";
    GITFAAS_NATS_CREDS: File = Nothing, "a NATS credentials file in place of user and password";
    GITFAAS_CA_BUNDLE: File = Nothing,
        "PEM file added to the trust of jobs and of our own clients, for networks that intercept TLS";
    GITFAAS_LOG: Text = Words("`info` for services, `warn` for commands"),
        "what is logged on stderr, in the syntax of `RUST_LOG`, which is read too";
    GITFAAS_LOG_FORMAT: Text = Value("text"), "`json`: one object a line, for collectors";
}

settings! {
    /// Of the observer alone.
    OBSERVER = "Observer", &[Role::Observer];
    GITFAAS_OBSERVER_LISTEN: Address = Value("127.0.0.1:3002"),
        "where it answers `/healthz`, `/readyz` and `/metrics`";
}
