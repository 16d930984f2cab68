//! Settings of gateways alone, but for the limits of owners.

use super::{
    Preset::{Nothing, Value, Words},
    Role, settings,
};

const GATEWAY_ONLY: &[Role] = &[Role::Gateway];

settings! {
    /// Addresses and keys.
    GATEWAY = "Gateway", GATEWAY_ONLY;
    GITFAAS_LISTEN: Address = Value("127.0.0.1:3000"),
        "where it listens (`0.0.0.0:3000` in the image); port 0 takes a free one";
    GITFAAS_PUBLIC_URL: Url = Words("`http://localhost:<port>`"), "its address in links, redirects and webhook URLs";
    GITFAAS_MASTER_KEY_FILE: File = Words("`<data dir>/master.key`"),
        "32 random bytes, mode 600, the same for every gateway; made if NATS knows no key yet";
    GITFAAS_NEXT_MASTER_KEY_FILE: File = Nothing,
        "a second one while the master key is being changed (docs/operating.md)";
    GITFAAS_ADMIN_SECRET: Secret = Nothing,
        "secret of `/observer/stats`; without it an admin's token is needed there";
    GITFAAS_NATS_REPLICAS: Count = Value("1"), "copies of everything: 1, or 3 on a cluster of three";
    GITFAAS_KEEP_JOBS: Duration = Value("90d"), "how long records and results are kept after their last change";
    GITFAAS_KEEP_LOGS: Duration = Value("30d"), "how long logs are kept";
    // A webhook's payload of the usual longest.
    GITFAAS_MAX_INPUT: Bytes = Value("1m"), "the longest input of a job; 25m at most";
    // A job that no worker took for a day will not be missed.
    GITFAAS_MAX_QUEUE_TIME: Duration = Value("24h"), "a job that no worker took within this time is lost";
}

settings! {
    /// Functions that are called by their name.
    FUNCTIONS = "Gateway: functions", GATEWAY_ONLY;
    // Whoever can register a repository could offer the world this service's computers.
    GITFAAS_PUBLIC_FUNCTIONS: Switch = Value("false"),
        "whether owners may open their functions to everybody; `false` closes those that are open";
    // Ten a second, as of deliveries: a page with a form has less, and its owner's queue takes what comes.
    GITFAAS_MAX_PUBLIC_CALLS_PER_MINUTE: Count = Value("600"),
        "calls of one public or signed function at one gateway";
    // A person who clicks has fewer; ten such addresses take what a function has.
    GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_PER_MINUTE: Count = Value("60"),
        "calls of one address to one public function at one gateway";
    // Each is a connection of the gateway's 4096, and up to 300 s long.
    GITFAAS_MAX_PUBLIC_CALLS_AT_ONCE: Count = Value("64"),
        "calls of one public or signed function that one gateway is answering";
    GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_AT_ONCE: Count = Value("8"),
        "of those of a public function, calls of one address";
}

settings! {
    /// How much one user or address may ask for.
    REQUEST_LIMITS = "Gateway: rate limits and connections", GATEWAY_ONLY;
    GITFAAS_TRUSTED_PROXIES: List = Nothing,
        "addresses and CIDRs of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed";
    // A hundred a second: ten programs that ask ten times a second are let, a loop without a pause is not.
    GITFAAS_MAX_REQUESTS_PER_MINUTE: Count = Value("6000"), "requests of one user at one gateway";
    // A page is three of them. Behind a proxy that is not trusted everybody is one address.
    GITFAAS_MAX_ANONYMOUS_REQUESTS_PER_MINUTE: Count = Value("600"),
        "requests of one address without a good token at one gateway";
    GITFAAS_MAX_STREAMS_PER_USER: Count = Value("50"), "live streams of one user at once";
    // Ten a second: a merge of a large project's dependencies is less. What is refused is looked for at the
    // forge all the same.
    GITFAAS_MAX_DELIVERIES_PER_MINUTE: Count = Value("600"), "signed deliveries of one registration at one gateway";
    GITFAAS_MAX_CONNECTIONS: Count = Value("4096"), "open connections of one gateway";
    GITFAAS_MAX_CONNECTIONS_PER_ADDRESS: Count = Words("a quarter of all"),
        "open connections of one address at one gateway, where a trusted proxy counts as the client that it names";
}

settings! {
    /// The operator's account at GitHub.
    GITHUB = "Gateway: GitHub", GATEWAY_ONLY;
    GITFAAS_GITHUB_API_URL: Url = Value("https://api.github.com"), "API of GitHub, or of a forge that speaks like it";
    GITFAAS_GITHUB_TOKEN: Secret = Nothing,
        "the operator's token: statuses and private clones of what an admin registered";
    GITFAAS_GITHUB_APP_ID: Count = Nothing, "a GitHub App, in place of a token";
    GITFAAS_GITHUB_APP_KEY_FILE: File = Nothing, "the App's RSA key in PEM form, not readable by everybody";
    GITFAAS_GITHUB_WEBHOOK_SECRET: Secret = Nothing,
        "secret of `POST /webhooks/github`, which answers 404 without it";
    GITFAAS_GITHUB_ACCOUNTS: List = Words("the App's owner"),
        "accounts whose installations of the App are accepted besides";
}

settings! {
    /// Providers, and who is let in.
    SIGN_IN = "Gateway: sign-in", GATEWAY_ONLY;
    GITFAAS_OIDC_ISSUER: Url = Value("https://accounts.google.com"), "identity provider, as it calls itself";
    GITFAAS_OIDC_CLIENT_ID: Text = Nothing, "our registration there; without it nobody signs in there";
    GITFAAS_OIDC_CLIENT_SECRET: Secret = Nothing, "its secret";
    GITFAAS_GITHUB_CLIENT_ID: Text = Nothing, "our registration at GitHub, as a further provider";
    GITFAAS_GITHUB_CLIENT_SECRET: Secret = Nothing, "its secret";
    GITFAAS_LOGIN_ALLOW: List = Words("everybody with an account there"),
        "who may sign in: `@example.com`, `you@example.com`, `github:org/NAME`";
}
