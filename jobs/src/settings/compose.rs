//! Settings of `docker-compose.yml`, which no program reads.

use super::{
    Preset::{Value, Words},
    Role, settings,
};

settings! {
    /// Read by docker-compose from `.env`.
    COMPOSE = "docker-compose.yml alone", &[Role::Compose];
    GITFAAS_PUBLISH: Text = Value("127.0.0.1:3000"),
        "where the gateway's port is published; `3000` publishes it to all";
    GITFAAS_TAG: Text = Value("latest"), "tag of the image `gitfaas/gitfaas`";
    NATS_PASSWORD_GATEWAY: Secret = Words("made by `scripts/secrets`"), "password of the gateway on NATS";
    NATS_PASSWORD_WORKER_1: Secret = Words("made by `scripts/secrets`"), "password of the first worker on NATS";
    NATS_PASSWORD_WORKER_2: Secret = Words("made by `scripts/secrets`"), "password of the second worker on NATS";
    NATS_PASSWORD_OBSERVER: Secret = Words("made by `scripts/secrets`"), "password of the observer on NATS";
    NATS_PASSWORD_ROUTES: Secret = Words("made by `scripts/secrets`"), "password of the NATS nodes among themselves";
}
