//! What must not be possible, for those outside and for the program inside.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    Api, Delivery, Function, Service,
    delivery::{path, signature},
    fake_forge::{self, OWNER},
    git_server::Fault,
    service::{WEBHOOK_SECRET, register},
};

#[tokio::test]
async fn a_delivery_without_a_good_signature_is_refused_and_leaves_nothing_in_nats() {
    let service = Service::start().await;
    // Without a credential no status is posted, so nothing is written any more after the job's end.
    let repository = service.forge.repository("hello").await;
    let registration = register(&service.user("ada@example.com"), &repository.url).await;
    let repository = repository.hooked(registration).await;
    let commit = repository.push(Function::python("print('hello')")).await;
    service.finished(&commit.job()).await;
    let hook = path(&repository.registration().webhook_url);
    let before = service.nats().written().await;

    for (place, secret) in
        [(hook.as_str(), repository.registration().secret.as_str()), ("/webhooks/github", WEBHOOK_SECRET)]
    {
        let good = Delivery::push(&repository, &commit, secret);
        let own = good.signatures[0].clone();
        let unsigned = Delivery { signatures: Vec::new(), ..good.clone() };
        let sha1 = ("x-hub-signature", format!("sha1={}", "ab".repeat(20)));
        let bad = [
            unsigned.clone(),
            Delivery { signatures: vec![signature("another secret", &good.body)], ..good.clone() },
            Delivery { signatures: vec![own.clone(), own.clone()], ..good.clone() },
            Delivery { headers: vec![sha1], ..unsigned.clone() },
            Delivery { signatures: vec!["sha256=".to_owned()], ..good.clone() },
            Delivery { signatures: vec![own[..own.len() - 2].to_owned()], ..good.clone() },
            Delivery { signatures: vec![own.trim_start_matches("sha256=").to_owned()], ..good.clone() },
            Delivery { body: [&good.body[..], b" "].concat(), ..good.clone() },
            Delivery { body: b"{".to_vec(), ..good.clone() },
        ];
        for delivery in bad {
            let (status, answer) = delivery.send(&service, place).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{delivery:?}: {answer}");
        }
    }
    let good = Delivery::push(&repository, &commit, &repository.registration().secret);
    let strange = format!("/webhooks/{}", uuid::Uuid::now_v7());
    assert_eq!(good.send(&service, &strange).await.0, StatusCode::NOT_FOUND);

    assert_eq!(service.nats().written().await, before);
    assert_eq!(service.jobs("").await.len(), 1);
}

#[tokio::test]
async fn a_signed_delivery_that_names_another_repository_is_refused_and_makes_no_job() {
    let service = Service::start().await;
    let mine = service.registered("mine").await;
    let other = service.forge.repository("other").await;
    let commit = other.push(Function::python("print('taken over')")).await;
    let hook = path(&mine.registration().webhook_url);
    let delivery = Delivery::push(&other, &commit, &mine.registration().secret);
    let (status, answer) = delivery.send(&service, &hook).await;
    assert_eq!((status, answer["verdict"].as_str()), (StatusCode::FORBIDDEN, Some("refused")));

    // The hook of all repositories believes only its own secret, and knows only what is registered.
    let (status, _) = delivery.send(&service, "/webhooks/github").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let unregistered = Delivery::push(&other, &commit, WEBHOOK_SECRET);
    let (status, answer) = unregistered.send(&service, "/webhooks/github").await;
    assert_eq!((status, answer["verdict"].as_str()), (StatusCode::OK, Some("ignored")));

    assert_eq!(service.jobs("").await.len(), 0);
    let kept = Api::json(service.get("/api/v1/deliveries").await, StatusCode::OK).await;
    let verdicts: Vec<_> =
        kept["items"].as_array().unwrap().iter().map(|item| item["verdict"].clone()).collect();
    assert_eq!(verdicts, ["ignored", "refused"]);
}

#[tokio::test]
async fn a_look_at_the_branches_sends_a_credential_over_http_only_to_a_host_that_the_operator_named() {
    let service = Service::start().await;
    for name in ["unnamed", "named"] {
        let private = service.forge.repository(name).await;
        private.push(Function::python("print('mine')")).await;
        service
            .forge
            .breaks(&private, Fault::Private("x-access-token".to_owned(), fake_forge::TOKEN.to_owned()));
        // The operator allowed this forge by its address; by its name everybody on the way could read it.
        let url = if name == "named" { private.url } else { private.url.replace("127.0.0.1", "localhost") };
        let wish = json!({ "url": url, "forge": "github" });
        Api::json(service.post("/api/v1/repos", &wish).await, StatusCode::CREATED).await;
        let look = service.forge.asked_for(&format!("/{OWNER}/{name}.git/info/refs")).await;
        assert_eq!(look.authorization.is_some(), name == "named", "{look:?}");
    }
}

#[tokio::test]
async fn somebody_elses_job_and_repository_do_not_exist() {
    let service = Service::start().await;
    let (ada, eve) = (service.user("ada@example.com"), service.user("eve@example.com"));
    let url = service.function("hello", Function::python("print('secret')")).await;
    let job = ada.run(&url).await;
    let repo = register(&ada, &url).await.id;
    let jobs = |rest: &str| format!("/api/v1/jobs/{}{rest}", job.id);
    let repos = format!("/api/v1/repos/{repo}");
    let every = [
        (Method::GET, jobs("")),
        (Method::GET, jobs("/result")),
        (Method::GET, jobs("/log")),
        (Method::GET, jobs("/events")),
        (Method::POST, jobs("/cancel")),
        (Method::POST, jobs("/rerun")),
        (Method::GET, jobs("?key=0000")),
        (Method::GET, format!("/job/job-status?jobID={}", job.id)),
        (Method::GET, format!("/job/result?jobID={}", job.id)),
        (Method::GET, repos.clone()),
        (Method::PATCH, repos.clone()),
        (Method::DELETE, repos.clone()),
        (Method::GET, format!("/api/v1/jobs?repo={repo}")),
    ];
    for (method, path) in &every {
        let answer = eve.send(eve.request(method.clone(), path).json(&json!({}))).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
        let nobody = eve.anybody();
        let answer = nobody.send(nobody.request(method.clone(), path).json(&json!({}))).await;
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND];
        assert!(refused.contains(&answer.status()), "{method} {path}: {}", answer.status());
    }
    let call = eve.post("/api/v1/jobs", &json!({ "repo": repo })).await;
    assert_eq!(call.status(), StatusCode::NOT_FOUND);
    assert_eq!(eve.jobs("").await.len(), 0);
    let page = eve.anybody().get(&format!("/jobs/{}", job.id)).await;
    assert!(!page.text().await.unwrap().contains("secret"));
    assert_eq!(ada.job(&job.id).await.result(), "secret\n");
}

#[tokio::test]
async fn who_registers_anothers_repository_gets_neither_credential_nor_status() {
    let service = Service::start().await;
    let eve = service.user("eve@example.com");
    let repository = service.forge.repository("victim").await;
    let registration = register(&eve, &repository.url).await;
    let repository = repository.hooked(registration).await;
    let open = repository.push(Function::python("print('public')")).await;
    assert_eq!(eve.finished(&open.job()).await.result(), "public\n");

    service
        .forge
        .breaks(&repository, Fault::Private("x-access-token".to_owned(), fake_forge::TOKEN.to_owned()));
    let closed = repository.push(Function::python("print('private')")).await;
    let job = eve.finished(&closed.job()).await;
    assert_eq!(
        job.end(),
        "error, checkout: the repository is private, and there is no credential that may read it"
    );

    // Another host as GitHub's would get the token too: that is an admin's word.
    let elsewhere = json!({ "url": "https://evil.example/a/b", "forge": "github" });
    assert_eq!(eve.post("/api/v1/repos", &elsewhere).await.status(), StatusCode::FORBIDDEN);

    // When a later status has arrived, an earlier one would have too.
    let own = service.registered("own").await;
    let commit = own.push(Function::python("print('own')")).await;
    assert_eq!(service.forge.final_status(&commit).await.state, "success");
    assert_eq!((service.forge.statuses(&open), service.forge.statuses(&closed)), (vec![], vec![]));
    let victim = format!("{OWNER}/victim");
    let seen = service.forge.seen();
    let with_credential: Vec<_> =
        seen.iter().filter(|seen| seen.path.contains(&victim) && seen.authorization.is_some()).collect();
    assert!(with_credential.is_empty(), "{with_credential:?}");
    assert!(seen.iter().any(|seen| seen.path.contains(&format!("{OWNER}/own/statuses"))));
}

#[tokio::test]
async fn a_running_container_is_confined_in_every_way() {
    let service = Service::start().await;
    let program = "import time\nprint('up', flush=True)\ntime.sleep(50)";
    let url = service.function("waits", Function::python(program)).await;
    let job = service.submit(&url).await;
    service.says(&job.id, "up").await;
    let container = service.containers.inspect(&job.id).await;
    let user = container.config.as_ref().and_then(|config| config.user.clone()).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 60_000)), "{user}");

    let host = serde_json::to_value(container.host_config.unwrap()).unwrap();
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert!(host["CapAdd"].as_array().is_none_or(Vec::is_empty), "{host:#}");
    let options: Vec<&str> =
        host["SecurityOpt"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(options.contains(&"no-new-privileges"), "{options:?}");
    assert!(options.iter().any(|option| option.starts_with("seccomp={")), "{options:?}");
    assert!(host["Binds"].as_array().is_none_or(Vec::is_empty), "{host:#}");
    assert!(host["Devices"].as_array().is_none_or(Vec::is_empty), "{host:#}");
    for limit in ["Memory", "MemorySwap", "PidsLimit", "NanoCpus"] {
        assert!(host[limit].as_i64().is_some_and(|limit| limit > 0), "{limit}: {host:#}");
    }
    assert_eq!(host["Memory"], host["MemorySwap"]);
    for mount in container.mounts.unwrap() {
        let mount = serde_json::to_value(mount).unwrap();
        assert_eq!(
            (mount["Type"].as_str(), mount["RW"].as_bool()),
            (Some("volume"), Some(false)),
            "{mount:#}"
        );
    }
    let network = host["NetworkMode"].as_str().unwrap().to_owned();
    let pause = network.strip_prefix("container:").unwrap_or_else(|| panic!("{network}"));
    let pause = service.containers.named(pause).await;
    assert_eq!(pause.host_config.unwrap().network_mode.as_deref(), Some("none"));
    service.cancel(&job.id).await;
}

/// Tries to reach each `host:port` of its arguments, directly and through the egress proxy; tells what it is.
const PROBE: &str = r#"
import json, os, socket, sys
from urllib.parse import urlparse

def direct(host, port):
    try:
        socket.create_connection((host, port), 3).close()
        return "reached"
    except OSError as error:
        return "no way"

def through_the_proxy(host, port):
    proxy = urlparse(os.environ["HTTP_PROXY"])
    with socket.create_connection((proxy.hostname, proxy.port), 5) as connection:
        connection.settimeout(10)
        connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        return connection.recv(200).split(b" ")[1].decode()

def may_write(path):
    try:
        open(path, "w").close()
        return True
    except OSError:
        return False

status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print(json.dumps({
    "reached": [[a, direct(*a.rsplit(":", 1)), through_the_proxy(*a.rsplit(":", 1))] for a in sys.argv[1:]],
    "uid": os.getuid(), "capabilities": status["CapBnd"], "no_new_privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "socket": [path for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/gitfaas") if os.path.exists(path)],
    "root_is_writable": may_write("/x") or may_write("/etc/x"), "work_is_writable": may_write("/work/x"),
    "variables": sorted(name for name in os.environ if name.startswith("GITFAAS_")),
    "interfaces": sorted(os.listdir("/sys/class/net")),
}))
"#;

#[tokio::test]
async fn from_inside_nothing_of_the_installation_can_be_reached() {
    let service = Service::start().await;
    let gateway = service.url.trim_start_matches("http://").to_owned();
    let gateway_port = gateway.rsplit_once(':').unwrap().1;
    let nats_port = service.nats().port();
    let bridge = service.containers.bridge().await;
    let addresses = [
        gateway.clone(),
        format!("127.0.0.1:{nats_port}"),
        format!("{bridge}:{gateway_port}"),
        format!("{bridge}:{nats_port}"),
        format!("{bridge}:22"),
        service.forge.url().trim_start_matches("http://").to_owned(),
        "169.254.169.254:80".to_owned(),
        "localhost:80".to_owned(),
        "0x7f000001:80".to_owned(),
        "::ffff:127.0.0.1:80".to_owned(),
    ];
    let url = service.function("probe", Function::python(PROBE)).await;
    let job = service.run_as(&json!({ "repo": url, "args": addresses })).await;
    let found: Value = serde_json::from_str(job.result()).unwrap();
    for reached in found["reached"].as_array().unwrap() {
        assert_eq!(reached[1], "no way", "{reached}");
        assert!(["403", "400"].contains(&reached[2].as_str().unwrap()), "{reached}");
    }
    assert!(found["uid"].as_u64().unwrap() > 60_000, "{found:#}");
    assert_eq!(found["capabilities"], "0000000000000000");
    assert_eq!((&found["no_new_privileges"], &found["seccomp"]), (&json!("1"), &json!("2")));
    assert_eq!(found["socket"], json!([]));
    assert_eq!((&found["root_is_writable"], &found["work_is_writable"]), (&json!(false), &json!(true)));
    let told = json!(["GITFAAS_ATTEMPT", "GITFAAS_JOB_ID", "GITFAAS_MAIN_FILE", "GITFAAS_SHA"]);
    assert_eq!(found["variables"], told);
    assert_eq!(found["interfaces"], json!(["lo"]));
    assert!(service.log(&job.id).await.contains("169.254.169.254"));
}
