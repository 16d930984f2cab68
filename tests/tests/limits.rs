//! Programs that do not behave: each ends by its own cause, and nothing of it stays.

use futures_util::future::join_all;
use tests::{Function, Job, Service, waiting::TAKEOVER};

const SLEEPS: &str = "import time\nprint('sleeping', flush=True)\nwhile True: time.sleep(1)";
const FORKS: &str = "import os\nwhile True:\n    if os.fork() == 0: os.execvp('sleep', ['sleep', '1000'])";
/// Every process makes two, and the first waits for ever.
const BOMB: &str =
    "import os\nos.execvp('sh', ['sh', '-c', 'bomb() { bomb | bomb & }; bomb 2>/dev/null; exec sleep 1000'])";
const FILLS_MEMORY: &str = "kept = []\nwhile True: kept.append(bytearray(1 << 20))";
const FILLS_DISK: &str = "with open('big', 'wb') as file:\n    while True: file.write(bytes(1 << 20))";
const PRINTS: &str = "while True: print('y' * 1000)";
const ONE_LINE: &str = "import sys\nwhile True: sys.stdout.write('y' * 4096)";
const IGNORES: &str =
    "import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(1)";
const CRASHES: &str = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)";
const LEAVES_A_CHILD: &str = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(1000)\n    os._exit(0)\nprint('done')";

#[tokio::test]
async fn each_way_to_misbehave_has_its_own_end_and_leaves_nothing_behind() {
    let service = Service::start_with(&[("GITFAAS_MAX_OUTPUT", "1m")]).await;
    let small = |program: &str| {
        Function::python(program).with("timeout", "20s").with("memory", "64m").with("disk", "16m")
    };
    let cases = [
        ("sleeps", small(SLEEPS).with("timeout", "2s"), "error, timeout: timed out after 2 s"),
        ("ignores", small(IGNORES).with("timeout", "1s"), "error, timeout: timed out after 1 s"),
        ("forks", small(FORKS).with("memory", "512m"), "error, processes: started too many processes"),
        (
            "bomb",
            small(BOMB).with("memory", "512m").with("timeout", "3s"),
            "error, processes: had too many processes until its 3 s were over",
        ),
        ("memory", small(FILLS_MEMORY), "error, memory: used more memory than 64m"),
        ("disk", small(FILLS_DISK), "error, disk: filled its disk (/work has 16m, /tmp 64m)"),
        ("prints", small(PRINTS), "error, output: wrote more than 1m"),
        ("line", small(ONE_LINE), "error, output: wrote more than 1m"),
        ("crashes", small(CRASHES), "error, exit: ended by signal 11"),
        ("silent", small("pass"), "finish"),
        ("child", small(LEAVES_A_CHILD), "finish"),
    ];
    let ends = join_all(cases.iter().map(async |(name, function, _)| {
        let url = service.function(name, function.clone()).await;
        let job = service.submit(&url).await;
        service.finished_within(TAKEOVER, &job.id).await
    }));
    let jobs: Vec<Job> = ends.await;
    for (job, (name, _, end)) in jobs.iter().zip(&cases) {
        assert_eq!(job.end(), *end, "{name}");
        assert_eq!(job.attempt, 1, "{name}");
        service.containers.are_gone(&job.id).await;
        let log = service.log(&job.id).await;
        let sentence = job.message.clone().unwrap_or_else(|| "finished in ".to_owned());
        assert!(log.lines().last().is_some_and(|line| line.contains(&sentence)), "{name}: {log:.1000}");
        assert!(log.len() < 3 << 20, "{name}");
    }
    assert_eq!(jobs[9].result(), "");
    assert_eq!(jobs[10].result(), "done\n");

    let after: Vec<_> = service
        .containers
        .names()
        .await
        .into_iter()
        .filter(|name| jobs.iter().any(|job| name.contains(&job.id)))
        .collect();
    assert_eq!(after, [""; 0]);
    let well = service.function("well", Function::python("print('still well')")).await;
    assert_eq!(service.run(&well).await.result(), "still well\n");
}

#[tokio::test]
async fn what_a_manifest_asks_for_beyond_the_ceilings_is_named_with_its_ceiling() {
    let service =
        Service::start_with(&[("GITFAAS_MAX_TIMEOUT", "10s"), ("GITFAAS_MAX_MEMORY", "128m")]).await;
    let greedy = Function::python("print(1)").with("timeout", 60).with("memory", "1g").with("disk", "64m");
    let job = service.run(&service.function("greedy", greedy).await).await;
    let message =
        "manifest: timeout is 60 s, over the ceiling of 10 s; memory is 1g, over the ceiling of 128m";
    assert_eq!(job.end(), format!("error, manifest: {message}"));
}

#[tokio::test]
async fn a_run_without_network_has_none() {
    let service = Service::start().await;
    let program = "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.com/', timeout=5)\n    print('out')\nexcept Exception:\n    print('kept in')";
    let alone = Function::python(program).with("network", "none");
    assert_eq!(service.run(&service.function("alone", alone).await).await.result(), "kept in\n");
}
