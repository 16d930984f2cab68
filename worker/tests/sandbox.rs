//! The sandbox on a real Docker daemon, with the images of `runner-images/`.
//!
//! Every test is an installation of its own, so tests side by side and services on the same daemon
//! never see each other; each looks at the end whether anything is left of it.

mod house;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use house::{House, Outcome, limits};
use tokio::io::AsyncBufReadExt;
use tokio_util::sync::CancellationToken;
use worker::sandbox::{Exit, Expiry, Network, PrepareError, StartGate};

#[tokio::test]
async fn a_program_runs_with_exact_arguments_and_its_bytes_come_back() {
    let house = House::new().await;
    let script = "import sys, os\nsys.stdout.buffer.write(b'\\xff\\x00|' + '|'.join(sys.argv[1:]).encode())\nsys.stderr.write('no')\nsys.stdout.flush()\nsys.exit(7)";
    let args = ["a b", "$(id)", "\"'`\n;", "", "--", "ü"];
    let outcome = house.python(script, &args, limits()).await;
    assert_eq!(outcome.end.exit, Exit::Code(7));
    assert_eq!(outcome.stdout, [b"\xff\x00|".as_slice(), args.join("|").as_bytes()].concat());
    assert_eq!(outcome.stderr, b"no");
    assert!(outcome.end.peak_memory_bytes.unwrap() > 1_000_000);
    house.leave().await;
}

#[tokio::test]
async fn a_program_is_nobody_and_sees_nothing() {
    let house = House::new().await;
    let script = r#"
import os, socket, subprocess
print(os.getuid() >= 61000, os.getgid() >= 61000, open("/proc/self/status").read().count("CapEff:\t0000000000000000"))
print(sorted(os.listdir("/sys/class/net")))
for path in ["/root/x", "/etc/x", "/gitfaas/x", "/env/x"]:
    try: open(path, "w"); print("wrote", path)
    except OSError: pass
for family in [40, 38, 17]:
    try: socket.socket(family, socket.SOCK_RAW); print("family", family)
    except OSError: pass
try: print(open("/proc/1/environ").read())
except OSError: print("launcher is closed")
print(os.environ["HOME"], os.environ["https_proxy"], "SECRET" in os.environ, os.environ["GREETING"])
print(repr(os.read(0, 10)))
"#;
    let outcome = house.python(script, &[], limits()).await;
    assert_eq!(
        outcome.text(),
        "True True 1\n['lo']\nlauncher is closed\n/tmp http://127.0.0.1:3128 False hello\nb''\n"
    );
    house.leave().await;
}

#[tokio::test]
async fn memory_that_runs_out_is_told_for_the_program_and_for_its_child() {
    let house = House::new().await;
    let mut small = limits();
    small.memory_bytes = 64 << 20;
    small.disk_bytes = 16 << 20;
    let bomb = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    let outcome = house.python(bomb, &[], small.clone()).await;
    assert_eq!(outcome.end.exit, Exit::Signal(9));
    assert!(outcome.end.oom_kills > 0);

    let child =
        format!("import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', {bomb:?}]).returncode)");
    let outcome = house.python(&child, &[], small).await;
    assert_eq!(outcome.end.exit, Exit::Code(0));
    assert_eq!(outcome.text(), "-9\n");
    assert!(outcome.end.oom_kills > 0);
    house.leave().await;
}

#[tokio::test]
async fn time_processes_disk_and_output_each_end_in_their_own_way() {
    let house = House::new().await;
    let mut short = limits();
    short.time = Duration::from_millis(1500);
    let before = Instant::now();
    let deaf = "import signal, time\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\nprint('on', flush=True)\ntime.sleep(60)";
    let outcome = house.python(deaf, &[], short.clone()).await;
    assert!(outcome.end.timed_out && before.elapsed() < Duration::from_secs(20));
    assert_eq!(outcome.text(), "on\n");

    let forks = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    let outcome = house.python(forks, &[], short.clone()).await;
    assert!(outcome.end.timed_out && outcome.end.processes_refused);

    let mut tiny = limits();
    tiny.disk_bytes = 8 << 20;
    let fill = "f = open('/work/x', 'wb')\nwhile True: f.write(bytes(1 << 16)); f.flush()";
    let outcome = house.python(fill, &[], tiny).await;
    assert_eq!(outcome.end.exit, Exit::Code(1), "{}", outcome.errors());
    assert!(outcome.end.disk_full && outcome.end.oom_kills == 0);

    let mut quiet = limits();
    quiet.output_bytes = 1 << 20;
    let outcome = house.python("while True: print('y' * 1000)", &[], quiet).await;
    assert!(outcome.end.output_exceeded);
    assert_eq!(outcome.stdout.len(), 1 << 20);
    house.leave().await;
}

#[tokio::test]
async fn a_daemon_neither_holds_the_job_nor_outlives_it() {
    let house = House::new().await;
    let script = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    time.sleep(60)\n  os._exit(0)\nprint('left')";
    let before = Instant::now();
    let outcome = house.python(script, &[], limits()).await;
    assert_eq!((outcome.end.exit, outcome.text()), (Exit::Code(0), "left\n".to_owned()));
    assert!(before.elapsed() < Duration::from_secs(20));
    let count = house
        .python("import os\nprint([p for p in os.listdir('/proc') if p.isdigit()])", &[], limits())
        .await;
    assert_eq!(count.text().matches('\'').count(), 4, "launcher and program only: {}", count.text());
    house.leave().await;
}

#[tokio::test]
async fn a_stopped_job_ends_and_a_killed_container_is_unknown() {
    let house = House::new().await;
    let stop = CancellationToken::new();
    let forever = "import time\nprint('on', flush=True)\ntime.sleep(60)";
    let stopper = stop.clone();
    let outcome = house
        .watch(forever, limits(), stop, move |_| {
            let stopper = stopper.clone();
            async move { stopper.cancel() }
        })
        .await;
    assert!(outcome.end.stopped);

    let outcome = house
        .watch(forever, limits(), CancellationToken::new(), |name| async move {
            house::docker(&["kill", &name]).await;
        })
        .await;
    assert_eq!(outcome.end.exit, Exit::Unknown);
    assert!(!outcome.end.stopped && !outcome.end.timed_out);

    let again = house.python("print(1)", &[], limits()).await;
    assert_eq!(again.text(), "1\n");
    house.leave().await;
}

#[tokio::test]
async fn a_program_begins_when_its_gate_was_passed_and_not_at_all_when_it_refuses() {
    let house = House::new().await;
    let noted = AtomicUsize::new(0);
    let gate = StartGate::new(|| async {
        noted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let outcome = house.gated("print('begun')", &gate).await;
    assert_eq!((outcome.end.exit, outcome.text()), (Exit::Code(0), "begun\n".to_owned()));
    assert!(gate.is_passed() && gate.refusal().is_none() && noted.load(Ordering::Relaxed) == 1);

    let refusal = jobs::Outcome::service(jobs::Cause::Lost, "it could not be noted");
    let gate = StartGate::new(|| std::future::ready(Err(refusal.clone())));
    let outcome = house.gated("print('begun')", &gate).await;
    assert!(outcome.end.stopped && outcome.stdout.is_empty());
    assert!(!gate.is_passed() && gate.refusal() == Some(refusal.clone()));

    let again = house.python("print(1)", &[], limits()).await;
    assert_eq!(again.text(), "1\n");
    house.leave().await;
}

#[tokio::test]
async fn a_job_whose_caller_went_away_leaves_nothing() {
    let house = House::new().await;
    let running = house.run("import time\ntime.sleep(60)", &[], limits(), CancellationToken::new());
    let _ = tokio::time::timeout(Duration::from_secs(3), running).await;
    let outcome = house.python("print('next')", &[], limits()).await;
    assert_eq!(outcome.text(), "next\n");
    house.leave().await;
}

#[tokio::test]
async fn the_door_is_the_only_way_out_and_says_no() {
    let house = House::new().await;
    let script = r#"
import urllib.request, socket
def ask(url):
    try: return urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error: return error.code
    except OSError as error: return type(error).__name__
print(ask("http://169.254.169.254/"), ask("http://10.0.0.1:8080/"))
try: socket.create_connection(("1.1.1.1", 443), timeout=5)
except OSError as error: print(error)
"#;
    let outcome = house.python(script, &[], limits()).await;
    assert_eq!(outcome.text(), "403 403\n[Errno 101] Network is unreachable\n");
    assert!(
        outcome
            .notes()
            .contains("network: 169.254.169.254:80 refused: 169.254.169.254 has no public address")
    );

    let mut alone = limits();
    alone.network = Network::None;
    let outcome = house.python(script, &[], alone).await;
    assert!(outcome.notes().contains("has no network"), "{}", outcome.notes());
    house.leave().await;
}

#[tokio::test]
async fn what_an_exception_allows_is_reached_through_the_proxy() {
    let (port, served) = house::http_server().await;
    let house = House::allowing("127.0.0.1").await;
    // By hand, since every library passes the proxy by for loopback.
    let script = format!(
        r#"
import http.client
proxy = http.client.HTTPConnection("127.0.0.1", 3128)
proxy.request("GET", "http://127.0.0.1:{port}/")
print(proxy.getresponse().read().decode())
tunnel = http.client.HTTPConnection("127.0.0.1", 3128)
tunnel.set_tunnel("127.0.0.1", {port})
tunnel.request("GET", "/")
print(tunnel.getresponse().read().decode())
"#
    );
    let outcome = house.python(&script, &[], limits()).await;
    assert_eq!(outcome.text(), "served\nserved\n", "{} {}", outcome.errors(), outcome.notes());
    served.abort();
    house.leave().await;
}

#[tokio::test]
async fn an_environment_is_made_once_and_mounted_read_only() {
    let house = House::new().await;
    let request = || house.prepare_request("", "main", Expiry::Never);
    let (first, log) = house.prepare(request()).await;
    let first = first.unwrap_or_else(|error| panic!("{error}: {log}"));
    assert!(!first.reused);
    let (second, _) = house.prepare(request()).await;
    let second = second.unwrap();
    assert!(second.reused);
    assert_eq!(second.environment, first.environment);
    let (other, _) = house.prepare(house.prepare_request("", "pull request 1", Expiry::Never)).await;
    assert!(!other.unwrap().reused);

    let script =
        "import sys\nprint(sys.prefix)\ntry: open('/env/x', 'w')\nexcept OSError as error: print(error)";
    for _ in 0..2 {
        let outcome = house.python_in(script, Some(first.environment.clone())).await;
        assert_eq!(
            outcome.text(),
            "/env\n[Errno 30] Read-only file system: '/env/x'\n",
            "{}",
            outcome.errors()
        );
    }
    house.leave().await;
}

#[tokio::test]
async fn a_package_that_does_not_exist_is_the_functions_fault_and_leaves_no_volume() {
    let house = House::new().await;
    let (prepared, log) =
        house.prepare(house.prepare_request("./no-such-directory", "main", Expiry::Daily)).await;
    match prepared.unwrap_err() {
        PrepareError::Function { sentence, .. } => {
            assert!(sentence.contains("exit code"), "{sentence}: {log}")
        }
        PrepareError::Service(error) => panic!("{error:#}"),
        PrepareError::Stopped => panic!("nobody stopped it"),
    }
    house.leave().await;
}

#[tokio::test]
async fn a_second_start_removes_what_the_first_left_and_keeps_environments() {
    let house = House::new().await;
    let (prepared, log) = house.prepare(house.prepare_request("", "main", Expiry::Never)).await;
    prepared.unwrap_or_else(|error| panic!("{error}: {log}"));
    let before = house.things().await;
    assert!(!before.is_empty());
    let house = house.crash_and_start_again().await;
    let after = house.things().await;
    let containers = |things: &[String]| {
        things.iter().filter(|thing| thing.starts_with("container")).cloned().collect::<Vec<_>>()
    };
    assert!(containers(&before).iter().all(|name| !after.contains(name)), "{after:?}");
    let (prepared, _) = house.prepare(house.prepare_request("", "main", Expiry::Never)).await;
    assert!(prepared.unwrap().reused);
    house.leave().await;
}

#[tokio::test]
async fn a_slot_whose_containers_were_all_taken_away_recovers() {
    let house = House::new().await;
    house.wait_until_warm().await;
    house::sweep_containers(&format!("label=gitfaas.instance={}", house.instance())).await;
    let outcome = house.python("print('again')", &[], house::usual()).await;
    assert_eq!(outcome.text(), "again\n", "{:?}", outcome.end);
    house.leave().await;
}

#[tokio::test]
async fn every_language_says_hello_from_its_sample() {
    let house = House::new().await;
    for language in ["python", "nodeJS", "rust"] {
        let outcome = house.hello(language).await;
        assert_eq!(outcome.end.exit, Exit::Code(0), "{language}: {}", outcome.errors());
        assert_eq!(outcome.text(), "Hello, a b!\n", "{language}");
    }
    house.leave().await;
}

#[tokio::test]
async fn certificates_are_added_to_those_of_the_image() {
    let house = House::trusting(b"# the operator's own\n").await;
    let script = "import os\nnames = ['SSL_CERT_FILE', 'PIP_CERT', 'NODE_EXTRA_CA_CERTS', 'CARGO_HTTP_CAINFO']\nprint({os.environ[n] for n in names})\ntext = open('/gitfaas/ca.pem').read()\nprint('BEGIN CERTIFICATE' in text, text.endswith('# the operator\\'s own\\n'))";
    let outcome = house.python(script, &[], limits()).await;
    assert_eq!(outcome.text(), "{'/gitfaas/ca.pem'}\nTrue True\n", "{}", outcome.errors());
    house.leave().await;
}

#[tokio::test]
async fn the_reaper_takes_what_is_over_or_gone_and_nothing_else() {
    let house = House::new().await;
    house.wait_until_warm().await;
    let before = house.things().await;
    house.reap(|_| false, None).await;
    assert_eq!(house.things().await, before);

    let over = house
        .watch(
            "import time\nprint('on', flush=True)\ntime.sleep(60)",
            limits(),
            CancellationToken::new(),
            |_| house.reap(|_| true, None),
        )
        .await;
    assert_eq!(over.end.exit, Exit::Unknown);

    let neighbour = house.neighbour().await;
    house.reap(|_| false, Some(Duration::from_secs(59))).await;
    assert!(house.things_of("neighbour").await.len() > 1);
    house.reap(|_| false, Some(Duration::from_secs(61))).await;
    assert_eq!(house.things_of("neighbour").await, [""; 0]);
    drop(neighbour);
    house.leave().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_no_running_job() {
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_victim", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(victim.stdout.take().unwrap()).lines();
    let instance = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some((_, instance)) = line.split_once("running in ") {
            break instance.to_owned();
        }
    };
    victim.kill().await.unwrap();
    let filter = format!("label=gitfaas.instance={instance}");
    let launchers = ["ps", "--filter", &filter, "--format", "{{.Command}}", "--no-trunc"];
    while house::docker(&launchers).await.contains("launcher wait") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house::sweep(&filter).await;
}

/// Needs the registries of packages, and on some networks the settings that `scripts/test` works out.
#[tokio::test]
async fn packages_come_through_the_proxy() {
    let house = House::with_registries().await;
    let env = house.prepare_files("python", &[("requirements.txt", "six==1.16.0\n")]).await;
    let outcome = house.python_in("import six; print(six.__version__)", Some(env)).await;
    assert_eq!(outcome.text(), "1.16.0\n", "{}", outcome.errors());
    let package = r#"{"name":"x","version":"1.0.0","dependencies":{"is-odd":"3.0.1"}}"#;
    house.prepare_files("nodeJS", &[("package.json", package)]).await;
    let manifest = "[package]\nname = 'x'\nversion = '1.0.0'\nedition = '2024'\n[dependencies]\nitoa = '1'\n";
    house.prepare_files("rust", &[("Cargo.toml", manifest), ("src/main.rs", "fn main() {}")]).await;
    house.leave().await;
}

/// What [`a_worker_that_is_killed_leaves_no_running_job`] kills.
#[tokio::test]
#[ignore = "it waits to be killed"]
async fn a_victim() {
    let house = House::new().await;
    let forever = "import time\nprint('on', flush=True)\ntime.sleep(100)";
    let instance = house.instance().to_owned();
    let report = |_| {
        println!("running in {instance}");
        std::future::pending()
    };
    house.watch(forever, limits(), CancellationToken::new(), report).await;
}

/// Not a test of a rule but a figure: `cargo test --test sandbox -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn how_long_a_warm_run_takes() {
    let house = House::new().await;
    let mut times = Vec::new();
    for _ in 0..15 {
        house.wait_until_warm().await;
        let before = Instant::now();
        let outcome: Outcome = house.python("pass", &[], house::usual()).await;
        times.push(before.elapsed());
        assert_eq!(outcome.end.exit, Exit::Code(0));
    }
    times.sort();
    let mut hurried = Vec::new();
    for _ in 0..15 {
        let before = Instant::now();
        house.python("pass", &[], house::usual()).await;
        hurried.push(before.elapsed());
    }
    hurried.sort();
    eprintln!("one after the other without a pause {:?}", hurried[hurried.len() / 2]);
    let mut plain = Vec::new();
    for _ in 0..9 {
        let before = Instant::now();
        house::docker(&["run", "--rm", "--network", "none", house.image(), "python3", "-c", "pass"]).await;
        plain.push(before.elapsed());
    }
    plain.sort();
    let (warm, plain) = (times[times.len() / 2], plain[plain.len() / 2]);
    eprintln!(
        "warm {warm:?} (best {:?}), docker run {plain:?}, ratio {:.1}",
        times[0],
        plain.as_secs_f64() / warm.as_secs_f64()
    );
    house.leave().await;
}
