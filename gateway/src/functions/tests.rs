//! Who may call, against a real NATS.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use jobs::{
    CallAccess, Cause, IdempotencyKey, JobId, JobSpec, Repo, RepoId, SigningSecret, State, TokenId, UserId,
    accounts::{ALL_SCOPES, NewToken, OPERATOR, OwnerKind, Scope},
    bucket::Entry,
    connect::{NatsSettings, connect},
};
use sha2::Sha256;
use tempfile::TempDir;
use test_case::test_case;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    crypto::signing_secret,
    functions::{
        access::{Admission, Caller, Presented},
        once::{Repeated, SignedCall},
        refusal::Refusal,
        signature::BadSignature,
    },
    serve,
    state::Gateway,
};

const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HUB: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"{}";

/// A `nats-server` of its own, ended on drop.
struct Nats {
    process: Child,
    url: String,
    dir: TempDir,
}

impl Nats {
    fn start() -> Self {
        let script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/nats")).output().unwrap();
        let server = String::from_utf8(script.stdout).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(server.trim());
        // -1: any port that is free.
        command.args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"]).arg(dir.path().join("nats"));
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = "Listening for client connections on ";
        let url =
            lines.by_ref().find_map(|line| line.split_once(listening).map(|(_, at)| at.trim().to_owned()));
        lines.by_ref().find(|line| line.contains("Server is ready")).unwrap();
        // What it says from here on must be read, or it would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url: format!("nats://{}", url.unwrap()), dir }
    }

    /// A gateway on it. All of them have one master key.
    async fn gateway(&self, name: &str, variables: &[(&str, &str)]) -> Gateway {
        let settings = NatsSettings {
            url: self.url.clone(),
            user: None,
            creds: None,
            ca_bundle: None,
            name: name.to_owned(),
        };
        let client = connect(&settings).await.unwrap();
        let data_dir = self.dir.path().join(name);
        std::fs::create_dir_all(&data_dir).unwrap();
        let key = self.dir.path().join("master.key").to_str().unwrap().to_owned();
        let var = |name: &str| match name {
            "GITFAAS_MASTER_KEY_FILE" => Some(key.clone()),
            _ => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        };
        let config = Config::read(&var, data_dir).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        serve::open(config, client, address, CancellationToken::new()).await.unwrap().gateway
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn user(gateway: &Gateway, email: &str) -> UserId {
    let made = gateway.ledger.accounts.find_or_make(OPERATOR, email, email, OwnerKind::User).await;
    made.unwrap().value.id
}

async fn token(gateway: &Gateway, user: UserId, scopes: &[Scope], functions: Option<&[RepoId]>) -> String {
    let id = TokenId::new();
    let new = NewToken { id, user, name: "", scopes, functions, expires_at: None, made_by: &[] };
    gateway.ledger.accounts.mint(&new).await.unwrap().1.expose().to_owned()
}

/// A registration of this user.
fn repo(gateway: &Gateway, owner: UserId, access: CallAccess) -> Repo {
    let url = "https://git.example.com/a/pi".parse().unwrap();
    let mut repo = gateway.registrations.new_repo(owner, &url, hooks::Forge::Plain).0;
    repo.calls.access = access;
    repo
}

/// The same with these secrets, which open it.
fn signed(gateway: &Gateway, owner: UserId, secrets: &[&str]) -> Repo {
    let mut repo = repo(gateway, owner, CallAccess::Signed);
    let sealed = |(id, secret): (usize, &&str)| {
        let (id, secret) = (id.to_string(), secret.parse().unwrap());
        let sealed = gateway.keys.seal(&signing_secret::context(repo.id, &id), &secret);
        SigningSecret { id, added_at: Timestamp::now(), sealed }
    };
    repo.calls.signing_secrets = secrets.iter().enumerate().map(sealed).collect();
    repo
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

/// The headers of Standard Webhooks.
fn webhook(secret: &str, id: &str, sent_at: Timestamp) -> HeaderMap {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let seconds = sent_at.as_second().to_string();
    [id.as_bytes(), b".", seconds.as_bytes(), b".", BODY].iter().for_each(|part| mac.update(part));
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    let pairs = [("webhook-id", id), ("webhook-timestamp", &seconds), ("webhook-signature", &signature)];
    pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn hub(signature: &str) -> HeaderMap {
    HeaderMap::from_iter([("x-hub-signature-256".parse().unwrap(), signature.parse().unwrap())])
}

async fn call(gateway: &Gateway, repo: Option<&Repo>, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let access = &gateway.functions.access;
    let presented = access.presented(headers).await?;
    match access.admit(repo, presented, headers)? {
        Admission::Granted(caller) => Ok(caller),
        Admission::IfSigned(function) => access.verify(function, headers, BODY).await,
    }
}

/// Who calls, or why not, in a word.
async fn called(gateway: &Gateway, repo: Option<&Repo>, headers: &HeaderMap) -> String {
    match call(gateway, repo, headers).await {
        Ok(Caller::User(_)) => "user".to_owned(),
        Ok(Caller::Public(_)) => "public".to_owned(),
        Ok(Caller::Signed(..)) => "signed".to_owned(),
        Err(refusal) => format!("{} {refusal}", refusal.status().map_or(0, |status| status.as_u16())),
    }
}

async fn signed_call(gateway: &Gateway, repo: &Repo, headers: &HeaderMap) -> SignedCall {
    match call(gateway, Some(repo), headers).await {
        Ok(Caller::Signed(call, _)) => call,
        other => panic!("{other:?}"),
    }
}

const NO_TOKEN: &str = "401 a token that may call this function is needed: Authorization: Bearer gft_…";
const UNKNOWN: &str = "404 there is no such function";
const IN_PROGRESS: &str = "409 this call was received before and is being answered";
const OFF: &str = "503 this function is turned off by its owner";

#[tokio::test]
async fn a_function_is_opened_by_tokens_of_its_owner_and_viewers_and_looks_unknown_to_others() {
    let nats = Nats::start();
    let gateway = nats.gateway("one", &[]).await;
    let (owner, viewer) =
        (user(&gateway, "owner@example.com").await, user(&gateway, "viewer@example.com").await);
    let (invited, stranger) = (user(&gateway, "i@example.com").await, user(&gateway, "s@example.com").await);
    let admin = user(&gateway, "admin@example.com").await;
    gateway.ledger.accounts.make_admin(admin).await.unwrap();
    let function = Repo {
        viewers: vec![viewer],
        invited: vec!["i@example.com".to_owned()],
        ..repo(&gateway, owner, CallAccess::Token)
    };
    let other = repo(&gateway, owner, CallAccess::Token);
    let invoke: &[Scope] = &[Scope::Invoke];
    let no_scope = "403 this token does not have the scope invoke";
    let rows: [(UserId, &[Scope], Option<RepoId>, &str); 13] = [
        (owner, &ALL_SCOPES, None, "user"),
        (owner, &[Scope::JobsWrite], None, "user"),
        (owner, invoke, None, "user"),
        (owner, invoke, Some(function.id), "user"),
        (owner, invoke, Some(other.id), UNKNOWN),
        (owner, &[Scope::JobsRead, Scope::Repos], None, no_scope),
        (viewer, invoke, None, "user"),
        (viewer, invoke, Some(function.id), "user"),
        (invited, &ALL_SCOPES, None, "user"),
        (stranger, &ALL_SCOPES, None, UNKNOWN),
        (stranger, invoke, Some(function.id), UNKNOWN),
        (stranger, &[Scope::JobsRead], None, no_scope),
        (admin, &ALL_SCOPES, None, "user"),
    ];
    for (user, scopes, bound, wanted) in rows {
        let token = token(&gateway, user, scopes, bound.as_ref().map(std::slice::from_ref)).await;
        let headers = bearer(&token);
        assert_eq!(called(&gateway, Some(&function), &headers).await, wanted, "{scopes:?} {bound:?}");
        let unknown = if wanted == no_scope { no_scope } else { UNKNOWN };
        assert_eq!(called(&gateway, None, &headers).await, unknown, "there is none: {scopes:?}");
        let going = Repo { removing_since: Some(Timestamp::now()), ..function.clone() };
        assert_eq!(called(&gateway, Some(&going), &headers).await, unknown, "it is going: {scopes:?}");
    }

    let revoked = token(&gateway, owner, invoke, None).await;
    let id = jobs::accounts::token_id(&revoked).unwrap().to_string();
    let tokens = &gateway.ledger.accounts.tokens;
    tokens.delete(&id, tokens.get(&id).await.unwrap().unwrap().revision).await.unwrap();
    let nobody = [
        (HeaderMap::new(), NO_TOKEN),
        (bearer(&revoked), "401 this token is not valid"),
        (bearer("gft_nonsense"), "401 this token is not valid"),
        (bearer("a.foreign.jwt"), "401 this token is not valid"),
        (HeaderMap::from_iter([(http::header::AUTHORIZATION, "Basic YTpi".parse().unwrap())]), NO_TOKEN),
        (HeaderMap::from_iter([(http::header::COOKIE, "gitfaas_session=gft_x".parse().unwrap())]), NO_TOKEN),
        (webhook(FIRST, "msg_1", Timestamp::now()), NO_TOKEN),
    ];
    for (headers, wanted) in nobody {
        for function in [Some(&function), None] {
            assert_eq!(called(&gateway, function, &headers).await, wanted);
        }
    }
}

#[tokio::test]
async fn a_public_function_is_open_to_everybody_while_the_operator_allows_it() {
    let nats = Nats::start();
    let allowed = nats.gateway("allowed", &[("GITFAAS_PUBLIC_FUNCTIONS", "true")]).await;
    let refused = nats.gateway("refused", &[]).await;
    let (owner, stranger) = (user(&allowed, "o@example.com").await, user(&allowed, "s@example.com").await);
    let function = repo(&allowed, owner, CallAccess::Public);
    let own = bearer(&token(&allowed, owner, &[Scope::Invoke], None).await);
    let others = bearer(&token(&allowed, stranger, &ALL_SCOPES, None).await);
    let reads = bearer(&token(&allowed, owner, &[Scope::JobsRead], None).await);
    let rows = [
        (&own, "user", "user"),
        (&others, "public", UNKNOWN),
        (&reads, "public", "403 this token does not have the scope invoke"),
        (&HeaderMap::new(), "public", NO_TOKEN),
        (&bearer("of.the.function's-own"), "public", "401 this token is not valid"),
    ];
    for (headers, where_allowed, where_not) in rows {
        assert_eq!(called(&allowed, Some(&function), headers).await, where_allowed);
        assert_eq!(called(&refused, Some(&function), headers).await, where_not);
    }
    let user = call(&allowed, Some(&function), &own).await.unwrap();
    let public = call(&allowed, Some(&function), &others).await.unwrap();
    assert!(user.may_choose_version() && !public.may_choose_version());

    let few = nats
        .gateway(
            "few",
            &[("GITFAAS_PUBLIC_FUNCTIONS", "true"), ("GITFAAS_MAX_PUBLIC_CALLS_PER_ADDRESS_PER_MINUTE", "2")],
        )
        .await;
    for wanted in ["public", "public", "0 too many requests; try again in 30 s"] {
        assert_eq!(called(&few, Some(&function), &HeaderMap::new()).await, wanted);
    }
    assert_eq!(called(&few, Some(&function), &own).await, "user", "its owner is not the public");
}

#[tokio::test]
async fn a_signed_function_takes_what_one_of_its_secrets_signed() {
    let nats = Nats::start();
    let gateway = nats.gateway("one", &[]).await;
    let (owner, stranger) = (user(&gateway, "o@example.com").await, user(&gateway, "s@example.com").await);
    let one = signed(&gateway, owner, &[FIRST]);
    let two = Repo { calls: signed(&gateway, owner, &[FIRST, SECOND]).calls, ..one.clone() };
    let now = Timestamp::now();
    let (minutes, id) = (SignedDuration::from_mins(6), |n: u32| format!("msg_{n}"));
    let wrong = format!("401 the signature is not valid: {}", BadSignature::Wrong);
    let late = format!("401 the signature is not valid: {}", BadSignature::Expired);
    // The secrets of another registration are sealed for that one, and open nothing here.
    assert_eq!(called(&gateway, Some(&two), &webhook(FIRST, "msg_0", now)).await, wrong);
    let two = {
        let sealed = |(id, secret): (&str, &str)| {
            let context = signing_secret::context(one.id, id);
            let sealed = gateway.keys.seal(&context, &secret.parse().unwrap());
            SigningSecret { id: id.to_owned(), added_at: now, sealed }
        };
        let mut two = one.clone();
        two.calls.signing_secrets = [("a", FIRST), ("b", SECOND)].map(sealed).to_vec();
        two
    };
    let rows = [
        (&one, webhook(FIRST, &id(1), now), "signed"),
        (&one, webhook(SECOND, &id(2), now), wrong.as_str()),
        (&two, webhook(FIRST, &id(3), now), "signed"),
        (&two, webhook(SECOND, &id(4), now), "signed"),
        (&one, webhook(FIRST, &id(5), now - minutes), late.as_str()),
        (&one, webhook(FIRST, &id(6), now + minutes), late.as_str()),
        (&one, HeaderMap::new(), NO_TOKEN),
        (&one, bearer(&token(&gateway, owner, &[Scope::Invoke], None).await), "user"),
        (&one, bearer(&token(&gateway, stranger, &ALL_SCOPES, None).await), UNKNOWN),
    ];
    for (n, (function, headers, wanted)) in rows.into_iter().enumerate() {
        assert_eq!(called(&gateway, Some(function), &headers).await, wanted, "row {n}");
    }
    // Credentials of the function's own do not stand in the way.
    let mut both = webhook(FIRST, &id(7), now);
    both.insert(http::header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
    assert_eq!(called(&gateway, Some(&one), &both).await, "signed");
    // Nobody may go on guessing.
    let guesses = async |n: u32| called(&gateway, Some(&one), &webhook(SECOND, &id(100 + n), now)).await;
    let mut last = String::new();
    for n in 0..60 {
        last = guesses(n).await;
    }
    assert!(last.starts_with("0 too many requests"), "{last}");
    assert_eq!(called(&gateway, Some(&one), &webhook(FIRST, &id(8), now)).await, "signed");
}

#[tokio::test]
async fn what_is_turned_off_is_told_to_those_who_could_call_it() {
    let nats = Nats::start();
    let gateway = nats.gateway("one", &[("GITFAAS_PUBLIC_FUNCTIONS", "true")]).await;
    let (owner, stranger) = (user(&gateway, "o@example.com").await, user(&gateway, "s@example.com").await);
    let own = bearer(&token(&gateway, owner, &ALL_SCOPES, None).await);
    let others = bearer(&token(&gateway, stranger, &ALL_SCOPES, None).await);
    let off = |mut repo: Repo| {
        repo.calls.enabled = false;
        repo
    };
    let private = off(repo(&gateway, owner, CallAccess::Token));
    assert_eq!(called(&gateway, Some(&private), &own).await, OFF);
    assert_eq!(called(&gateway, Some(&private), &others).await, UNKNOWN);
    assert_eq!(called(&gateway, Some(&private), &HeaderMap::new()).await, NO_TOKEN);
    let public = off(repo(&gateway, owner, CallAccess::Public));
    assert_eq!(called(&gateway, Some(&public), &HeaderMap::new()).await, OFF);
    let on = signed(&gateway, owner, &[FIRST]);
    let (headers, wrong) =
        (webhook(FIRST, "msg_1", Timestamp::now()), webhook(SECOND, "msg_1", Timestamp::now()));
    assert_eq!(called(&gateway, Some(&off(on.clone())), &headers).await, OFF);
    assert!(called(&gateway, Some(&off(on.clone())), &wrong).await.starts_with("401"));
    assert_eq!(called(&gateway, Some(&on), &headers).await, "signed", "it was not entered meanwhile");
}

#[tokio::test]
async fn a_signed_call_is_made_once_at_all_gateways_and_again_after_a_failure() {
    let nats = Nats::start();
    let (one, other) = (nats.gateway("one", &[]).await, nats.gateway("other", &[]).await);
    let owner = user(&one, "o@example.com").await;
    let function = signed(&one, owner, &[FIRST]);
    let (now, elsewhere) = (Timestamp::now(), signed(&one, owner, &[FIRST]));
    let headers = webhook(FIRST, "msg_1", now);

    // Of many at once one is made.
    let all = futures_util::future::join_all((0..8).map(|n| {
        let gateway = if n % 2 == 0 { &one } else { &other };
        call(gateway, Some(&function), &headers)
    }));
    let (made, refused): (Vec<_>, Vec<_>) = all.await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    assert!(refused.iter().all(|refusal| matches!(refusal, Err(Refusal::InProgress))), "{refused:?}");
    assert_eq!(called(&one, Some(&elsewhere), &headers).await, "signed", "another function");

    // No job was made: the sender's next try is made, whatever time it is signed with.
    let Some(Ok(Caller::Signed(call, _))) = made.into_iter().next() else { panic!("a signed call") };
    one.functions.access.give_back(call).await;
    let later = webhook(FIRST, "msg_1", now + SignedDuration::from_secs(5));
    let first = signed_call(&other, &function, &later).await;
    assert_eq!(called(&one, Some(&function), &headers).await, IN_PROGRESS);

    // Its job waits, then fails: the sender was told so, and tries again.
    let spec = |id: JobId| JobSpec { id, ..JobSpec::call(owner, "https://git.example.com/a/pi") };
    one.ledger.submit(spec(first.job)).await.unwrap();
    let failed = first.job;
    other.functions.access.note_made(first).await;
    assert_eq!(called(&one, Some(&function), &headers).await, IN_PROGRESS);
    end(&one, failed, State::Error, Some(Cause::Exit)).await;
    let again = signed_call(&one, &function, &headers).await;
    assert_ne!(again.job, failed);

    // It ends well: whoever sends it again is told that it is done, also when the record is gone.
    let done = again.job;
    one.ledger.submit(spec(done)).await.unwrap();
    end(&one, done, State::Finish, None).await;
    one.functions.access.note_made(again).await;
    let replayed = format!("200 this call was received before; its job is {done}");
    assert_eq!(called(&other, Some(&function), &headers).await, replayed);
    let record = one.ledger.job(done).await.unwrap().unwrap();
    one.ledger.jobs.delete(&record.key, record.revision).await.unwrap();
    assert_eq!(called(&other, Some(&function), &headers).await, replayed);
    assert_eq!(called(&other, Some(&function), &webhook(FIRST, "msg_2", now)).await, "signed", "another id");

    // A call that another took over is not given back any more.
    let taken = signed_call(&one, &function, &webhook(FIRST, "msg_3", now)).await;
    one.ledger.submit(spec(taken.job)).await.unwrap();
    end(&one, taken.job, State::Error, Some(Cause::Lost)).await;
    let _by_other = signed_call(&other, &function, &webhook(FIRST, "msg_3", now)).await;
    one.functions.access.give_back(taken).await;
    assert_eq!(called(&one, Some(&function), &webhook(FIRST, "msg_3", now)).await, IN_PROGRESS);
}

/// Writes the end of a job into its record.
async fn end(gateway: &Gateway, job: JobId, state: State, cause: Option<Cause>) {
    let ended = |entry: &Entry<jobs::Job>| {
        let mut job = entry.value.clone();
        (job.status.state, job.status.cause) = (state, cause);
        Some(job)
    };
    gateway.ledger.jobs.change(&job.to_string(), ended).await.unwrap();
}

#[tokio::test]
async fn a_signature_without_a_time_is_taken_once_however_it_is_written() {
    let nats = Nats::start();
    let gateway = nats.gateway("one", &[]).await;
    let function = signed(&gateway, user(&gateway, "o@example.com").await, &[FIRST, HUB]);
    let signature = hooks::verify::sign(&HUB.parse().unwrap(), BODY);
    assert_eq!(called(&gateway, Some(&function), &hub(&signature)).await, "signed");
    let upper = signature.to_uppercase().replace("SHA256", "sha256");
    for again in [&signature, &upper] {
        assert_eq!(called(&gateway, Some(&function), &hub(again)).await, IN_PROGRESS);
    }
    let wrong = hooks::verify::sign(&"another secret, of others".parse().unwrap(), BODY);
    assert!(called(&gateway, Some(&function), &hub(&wrong)).await.ends_with("wrong signature"));
}

#[test_case(0, false => Ok(Repeated::InProgress) ; "its job is about to be made")]
#[test_case(60, false => Ok(Repeated::InProgress) ; "a minute later too")]
#[test_case(61, true => Ok(Repeated::Done) ; "its job was made and is gone")]
#[test_case(24 * 3600, true => Ok(Repeated::Done) ; "for a day")]
#[tokio::test]
async fn what_becomes_of_an_entry_without_a_job(age_s: i64, made: bool) -> Result<Repeated, String> {
    repeated_after(age_s, made).await.map(|(repeated, _, _)| repeated)
}

#[tokio::test]
async fn what_a_gateway_left_behind_is_made_with_the_same_id_and_what_is_a_day_old_with_another() {
    let (repeated, entered, _) = repeated_after(61, false).await.unwrap();
    assert_eq!(repeated, Repeated::Make(entered));
    let (repeated, _, fresh) = repeated_after(24 * 3600 + 1, true).await.unwrap();
    assert_eq!(repeated, Repeated::Make(fresh));
}

/// What becomes of an entry of this age, whose job is not there; with its id and the one that a new job would have.
async fn repeated_after(age_s: i64, made: bool) -> Result<(Repeated, JobId, JobId), String> {
    let nats = Nats::start();
    let gateway = tokio::time::timeout(Duration::from_secs(30), nats.gateway("one", &[])).await.unwrap();
    let (entered, fresh, written_at) = (JobId::new(), JobId::new(), Timestamp::now());
    let request = String::new();
    let value =
        IdempotencyKey { owner: UserId::new(), job: entered, request, made, other: serde_json::Map::new() };
    let entry = Entry { key: String::new(), value, revision: 1, written_at };
    let now = written_at + SignedDuration::from_secs(age_s);
    let repeated = gateway.functions.access.repeated(&entry, fresh, now).await;
    repeated.map(|repeated| (repeated, entered, fresh)).map_err(|refusal| refusal.to_string())
}

#[tokio::test]
async fn a_request_without_a_token_presents_nothing() {
    let nats = Nats::start();
    let gateway = nats.gateway("one", &[]).await;
    let presented = async |headers: HeaderMap| gateway.functions.access.presented(&headers).await.unwrap();
    assert!(matches!(presented(HeaderMap::new()).await, Presented::Nothing));
    assert!(matches!(presented(bearer("x")).await, Presented::Invalid(_)));
    let own = token(&gateway, user(&gateway, "o@example.com").await, &[Scope::Invoke], None).await;
    assert!(matches!(presented(bearer(&own)).await, Presented::Token(_)));
}
