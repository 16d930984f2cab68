//! What can become of a push on its way, and what nobody signed.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tests::{
    Delivery, FakeForge,
    delivery::{path, send_as, signature},
    repository::NO_COMMIT,
};

use crate::{GITHUB, SIGNATURE, here, registered, saved, service, table::Table};

const SHA1: HeaderName = HeaderName::from_static("x-hub-signature");
/// GitHub's own limit, and ours.
const MAX_BYTES: usize = 25 << 20;

/// A push of one commit, from the examples, to a branch of its own.
fn push(forge: &FakeForge, branch: &str) -> Value {
    let mut push = here(&saved(GITHUB)["push"][4], forge);
    push["ref"] = json!(format!("refs/heads/{branch}"));
    push["before"] = json!("0e1d1e873a32d406f624a4b25d44b9a586914a98");
    push["created"] = json!(false);
    push
}

fn changed(mut push: Value, fields: &[(&str, Value)]) -> Value {
    for (pointer, value) in fields {
        *push.pointer_mut(pointer).unwrap() = value.clone();
    }
    push
}

/// A push of exactly so many bytes.
fn padded(mut push: Value, bytes: usize) -> Value {
    push["padding"] = json!("");
    let missing = bytes - push.to_string().len();
    push["padding"] = json!("x".repeat(missing));
    push
}

fn header(text: &str) -> HeaderValue {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_mutation_of_a_push_has_its_verdict_and_what_nobody_signed_leaves_nothing() {
    let service = service().await;
    let forge = &service.forge;
    let own = registered(&service, &format!("{}/Codertocat/Hello-World.git", forge.url()), "github").await;
    let hook = path(&own.webhook_url);
    let signed = |event: &str, payload: &Value| Delivery::of(event, payload, &own.secret);
    let mut table = Table::default();

    // What nobody signed comes first, while nothing else writes.
    let good = signed("push", &push(forge, "main"));
    let right = good.signatures[0].clone();
    let sha1 = "sha1=3dfc15d0ea994eb196950a8f70728f16558de2c7".to_owned();
    let unsigned = [
        ("signature wrong", vec![(SIGNATURE, signature("x", b"x"))]),
        ("signature absent", vec![]),
        ("signature sha1 only", vec![(SHA1, sha1)]),
        ("signature doubled", vec![(SIGNATURE, right.clone()), (SIGNATURE, right.clone())]),
        ("signature doubled in one header", vec![(SIGNATURE, format!("{right}, {right}"))]),
        ("signature empty", vec![(SIGNATURE, "sha256=".to_owned())]),
        ("signature header empty", vec![(SIGNATURE, String::new())]),
        ("signature cut", vec![(SIGNATURE, right[..right.len() - 1].to_owned())]),
    ];
    // The gateway notes once, some seconds after its start, that all records are signed.
    while service.nats().messages("KV_meta").await < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let before = service.nats().written().await;
    for (what, instead) in unsigned {
        let mut headers = good.headers();
        headers.remove(SIGNATURE);
        for (name, value) in instead {
            headers.append(name, header(&value));
        }
        table.note(what, send_as(&service, &hook, headers, good.body.clone()).await);
    }
    let too_long = padded(push(forge, "long"), MAX_BYTES + 1);
    table.note("one byte over 25 MiB", signed("push", &too_long).send(&service, &hook).await);
    let nowhere = format!("/webhooks/{}", uuid::Uuid::now_v7());
    table.note("unknown repository id", good.send(&service, &nowhere).await);
    let other = Delivery { body: [&good.body[..], b" "].concat(), ..good.clone() };
    table.note("a byte more than was signed", other.send(&service, &hook).await);
    assert_eq!(service.nats().written().await, before, "what nobody signed leaves nothing in NATS");

    table.note("a push", good.send(&service, &hook).await);
    table.note("the same again", good.send(&service, &hook).await);
    let again = signed("push", &push(forge, "main"));
    table.note("the same under another id", again.send(&service, &hook).await);
    let reused = Delivery { id: good.id.clone(), ..signed("push", &push(forge, "another")) };
    table.note("another push under a used id", reused.send(&service, &hook).await);
    let gone = changed(
        push(forge, "main"),
        &[
            ("/before", push(forge, "main")["after"].clone()),
            ("/after", json!(NO_COMMIT)),
            ("/deleted", json!(true)),
            ("/head_commit", Value::Null),
        ],
    );
    table.note("branch deleted", signed("push", &gone).send(&service, &hook).await);
    table.note("the first push after that", signed("push", &push(forge, "main")).send(&service, &hook).await);
    let forced = changed(
        push(forge, "main"),
        &[
            ("/forced", json!(true)),
            ("/after", json!("1".repeat(40))),
            ("/before", push(forge, "main")["after"].clone()),
        ],
    );
    table.note("forced", signed("push", &forced).send(&service, &hook).await);
    let back = changed(push(forge, "main"), &[("/forced", json!(true)), ("/before", json!("1".repeat(40)))]);
    table.note("forced back", signed("push", &back).send(&service, &hook).await);
    let tag = changed(
        push(forge, "x"),
        &[
            ("/ref", json!("refs/tags/v1")),
            ("/before", json!(NO_COMMIT)),
            ("/after", json!("2".repeat(40))),
            ("/created", json!(true)),
        ],
    );
    table.note("annotated tag (after is the tag object)", signed("push", &tag).send(&service, &hook).await);
    let strange = changed(
        push(forge, "зелень-日本/🦀"),
        &[
            ("/head_commit/message", json!("naïve \u{1F980} \u{202E}reversed\n\nZoë")),
            ("/pusher/name", json!("Zoë")),
        ],
    );
    table.note("non-ASCII branch and message", signed("push", &strange).send(&service, &hook).await);
    let skip = changed(push(forge, "skip"), &[("/head_commit/message", json!("naïve\n\n[CI skip]"))]);
    table.note("non-ASCII and [CI skip]", signed("push", &skip).send(&service, &hook).await);
    for count in [21, 2048] {
        let commit = json!({ "id": "3".repeat(40), "message": "x".repeat(200), "added": vec!["a"; 50] });
        let many =
            changed(push(forge, &format!("many-{count}")), &[("/commits", json!(vec![commit; count]))]);
        table.note(&format!("{count} commits"), signed("push", &many).send(&service, &hook).await);
    }
    let long = padded(push(forge, "long"), MAX_BYTES);
    table.note("25 MiB", signed("push", &long).send(&service, &hook).await);
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &push(forge, "form").to_string())
        .finish();
    for (what, form) in
        [("form-encoded", form.clone()), ("form-encoded, without a payload", "a=b".to_owned())]
    {
        let mut headers = signed("push", &json!({})).headers();
        headers.insert("content-type", header("application/x-www-form-urlencoded"));
        headers.insert(SIGNATURE, header(&signature(&own.secret, form.as_bytes())));
        table.note(what, send_as(&service, &hook, headers, form).await);
    }
    let nothing = changed(push(forge, "test"), &[("/before", push(forge, "test")["after"].clone())]);
    table.note("before equals after", signed("push", &nothing).send(&service, &hook).await);
    let other = changed(
        push(forge, "main"),
        &[
            ("/repository/clone_url", json!(format!("{}/Codertocat/Other.git", forge.url()))),
            ("/repository/id", json!(7)),
        ],
    );
    table.note("another repository", signed("push", &other).send(&service, &hook).await);
    let wrong = [
        ("ref is an option", "/ref", json!("refs/heads/--upload-pack=sh")),
        ("ref with ..", "/ref", json!("refs/heads/a..b")),
        ("ref is a note", "/ref", json!("refs/notes/commits")),
        ("after is no commit id", "/after", json!("$(id)")),
        ("clone URL is a file", "/repository/clone_url", json!("file:///etc")),
        ("no repository", "/repository", Value::Null),
    ];
    for (what, pointer, value) in wrong {
        let payload = changed(push(forge, "wrong"), &[(pointer, value)]);
        table.note(what, signed("push", &payload).send(&service, &hook).await);
    }
    table.note("an event that nobody knows", signed("stars_aligned", &json!({})).send(&service, &hook).await);
    for (what, body) in [("not JSON", "{"), ("empty", "")] {
        let mut delivery = signed("push", &json!({}));
        delivery.body = body.as_bytes().to_vec();
        delivery.signatures = vec![signature(&own.secret, body.as_bytes())];
        table.note(what, delivery.send(&service, &hook).await);
    }
    let mut headers = signed("push", &push(forge, "none")).headers();
    headers.remove("x-github-event");
    table.note("no event", send_as(&service, &hook, headers, push(forge, "none").to_string()).await);

    insta::assert_snapshot!(table.shown(), @r#"
    signature wrong | 401 - 0 the delivery is not signed with this webhook's secret
    signature absent | 401 - 0 the delivery is not signed with this webhook's secret
    signature sha1 only | 401 - 0 the delivery is not signed with this webhook's secret
    signature doubled | 401 - 0 the delivery is not signed with this webhook's secret
    signature doubled in one header | 401 - 0 the delivery is not signed with this webhook's secret
    signature empty | 401 - 0 the delivery is not signed with this webhook's secret
    signature header empty | 401 - 0 the delivery is not signed with this webhook's secret
    signature cut | 401 - 0 the delivery is not signed with this webhook's secret
    one byte over 25 MiB | 413 - 0 the body is larger than 26214400 bytes
    unknown repository id | 404 - 0 no such repository
    a byte more than was signed | 401 - 0 the delivery is not signed with this webhook's secret
    a push | 202 accepted 1
    the same again | 202 accepted 1
    the same under another id | 202 duplicate 1 duplicate of <job>
    another push under a used id | 202 accepted 1
    branch deleted | 200 ignored 0 the ref was removed
    the first push after that | 202 accepted 1
    forced | 202 accepted 1
    forced back | 202 accepted 1
    annotated tag (after is the tag object) | 202 accepted 1
    non-ASCII branch and message | 202 accepted 1
    non-ASCII and [CI skip] | 200 ignored 0 the commit message says so
    21 commits | 202 accepted 1
    2048 commits | 202 accepted 1
    25 MiB | 202 accepted 1
    form-encoded | 202 accepted 1
    form-encoded, without a payload | 400 refused 0 payload: expected value at line 1 column 1
    before equals after | 200 ignored 0 nothing changed: before equals after
    another repository | 403 refused 0 the delivery names another repository
    ref is an option | 400 refused 0 "refs/heads/--upload-pack=sh" is not the name of a branch or tag
    ref with .. | 400 refused 0 "refs/heads/a..b" is not the name of a branch or tag
    ref is a note | 200 ignored 0 "refs/notes/commits" is neither a branch nor a tag
    after is no commit id | 400 refused 0 after: not a full commit id (40 lower-case hex digits)
    clone URL is a file | 400 refused 0 clone URL: only http and https repositories can be cloned
    no repository | 400 refused 0 the repository has no usable name
    an event that nobody knows | 200 ignored 0 nothing to do for stars_aligned
    not JSON | 400 refused 0 payload: EOF while parsing an object at line 1 column 1
    empty | 400 refused 0 payload: EOF while parsing a value at line 1 column 0
    no event | 400 refused 0 no event header
    "#);
    assert_eq!(service.nats().messages("KV_jobs").await, table.jobs.len() as u64);
    assert_eq!(service.nats().messages("JOBS").await, table.jobs.len() as u64);
}
