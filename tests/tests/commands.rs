//! The command line, as users and scripts call it.

use std::process::Output;

use serde_json::Value;
use tests::{Function, Service};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn line(output: &Output) -> String {
    assert!(output.status.success(), "{}", errors(output));
    out(output).trim().to_owned()
}

#[tokio::test]
async fn submit_waits_prints_the_result_and_ends_with_the_functions_own_code() {
    let service = Service::start().await;
    let program =
        "import sys\nprint(sys.argv[1])\nprint('to you', file=sys.stderr)\nsys.exit(int(sys.argv[1]))";
    let url = service.function("exits", Function::python(program)).await;
    let well = service.gitfaas(&["submit", &url, "--arg", "0", "--wait"]).await;
    assert_eq!((out(&well).as_str(), well.status.code()), ("0\n", Some(0)), "{}", errors(&well));
    assert!(errors(&well).contains("to you"));
    let ill = service.gitfaas(&["submit", &format!("{url}@main"), "--arg", "3", "--wait"]).await;
    assert_eq!((out(&ill).as_str(), ill.status.code()), ("3\n", Some(3)));
    assert!(errors(&ill).contains("exit code 3"), "{}", errors(&ill));

    let id = line(&service.gitfaas(&["submit", &url, "--arg", "0", "--name", "scripted"]).await);
    let log = line(&service.gitfaas(&["logs", "-f", &id]).await);
    assert!(log.contains("to you"), "{log}");
    let status: Value =
        serde_json::from_str(&line(&service.gitfaas(&["status", &id, "--json"]).await)).unwrap();
    assert_eq!((&status["state"], &status["name"]), (&"finish".into(), &"scripted".into()));
    assert_eq!(line(&service.gitfaas(&["result", &id]).await), "0");
    let list: Value = serde_json::from_str(&line(&service.gitfaas(&["list", "--json"]).await)).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(3), "{list}");
    let nothing = service.gitfaas(&["status", "0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10"]).await;
    assert_eq!((nothing.status.code(), errors(&nothing).is_empty()), (Some(1), false));
}

#[tokio::test]
async fn a_function_reads_the_same_input_submitted_run_here_and_run_again() {
    let service = Service::start().await;
    // Reads its input twice, to show that it is a file.
    let program = "import sys\nstdin = sys.stdin.buffer\nend = stdin.read()[-3:]\nstdin.seek(0)\nsys.stdout.buffer.write(end + stdin.read())";
    let url = service.function("copies", Function::python(program)).await;
    let folder = tempfile::tempdir().unwrap();
    let input: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = [&input[input.len() - 3..], &input[..]].concat();
    let path = folder.path().join("input");
    std::fs::write(&path, &input).unwrap();
    let path = path.to_str().unwrap();

    let submitted = service.gitfaas(&["submit", &url, "--input", path, "--wait"]).await;
    assert!(submitted.status.success(), "{}", errors(&submitted));
    assert!(submitted.stdout == expected, "{} bytes", submitted.stdout.len());
    let list: Value = serde_json::from_str(&line(&service.gitfaas(&["list", "--json"]).await)).unwrap();
    let id = list[0]["id"].as_str().unwrap();
    assert_eq!(list[0]["input"]["bytes"], 100_000);
    assert!(line(&service.gitfaas(&["status", id]).await).contains("100000 bytes, application/octet-stream"));
    let again: Value = serde_json::from_str(&line(&service.gitfaas(&["rerun", id, "--json"]).await)).unwrap();
    let again = service.finished(again["id"].as_str().unwrap()).await;
    assert_eq!(again.result_bytes, Some(expected.len() as u64), "{again:?}");

    let longer = folder.path().join("longer");
    std::fs::write(&longer, vec![0; (128 << 10) + 1]).unwrap();
    let refused = service.gitfaas(&["submit", &url, "--input", longer.to_str().unwrap()]).await;
    assert!(
        !refused.status.success() && errors(&refused).contains("longer than 128k"),
        "{}",
        errors(&refused)
    );

    std::fs::write(folder.path().join("main.py"), program).unwrap();
    let manifest = r#"{"language": "python", "mainFile": "main.py"}"#;
    std::fs::write(folder.path().join("faas-manifest.json"), manifest).unwrap();
    let here = service.gitfaas(&["run", folder.path().to_str().unwrap(), "--input", path]).await;
    assert!(here.status.success() && here.stdout == expected, "{}", errors(&here));
    let empty = service.gitfaas(&["run", folder.path().to_str().unwrap()]).await;
    assert!(empty.status.success() && empty.stdout.is_empty(), "{}", errors(&empty));
}

#[tokio::test]
async fn a_repository_is_registered_listed_and_removed() {
    let service = Service::start().await;
    let repository = service.forge.repository("mine").await;
    let made = line(&service.gitfaas(&["repo", "add", &repository.url, "--branch", "main", "--json"]).await);
    let made = serde_json::from_str(&made).unwrap();
    let repository = repository.hooked(made).await;
    let aside = repository.push_to("aside", Function::python("print(1)"), "aside").await;
    assert!(aside.told.contains("ignored: the branch is filtered"), "{}", aside.told);
    let commit = repository.push(Function::python("print(1)")).await;
    assert_eq!(service.finished(&commit.job()).await.result(), "1\n");

    let id = repository.registration().id.as_str();
    assert!(line(&service.gitfaas(&["repo", "list"]).await).contains(id));
    line(&service.gitfaas(&["repo", "remove", id]).await);
    assert!(!line(&service.gitfaas(&["repo", "list"]).await).contains(id));
    let after = repository.push(Function::python("print(2)")).await;
    assert!(after.told.contains("answered 404"), "{}", after.told);
}

#[tokio::test]
async fn a_folder_is_run_here_and_now_with_docker_alone() {
    let service = Service::start().await;
    let hello = concat!(env!("CARGO_MANIFEST_DIR"), "/../runner-images/python/hello");
    let ran = service.gitfaas(&["run", hello]).await;
    assert!(ran.status.success() && !out(&ran).is_empty(), "{}", errors(&ran));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.py"), "import sys\nsys.exit(len(sys.argv))").unwrap();
    let manifest = r#"{"language": "python", "mainFile": "main.py"}"#;
    std::fs::write(folder.path().join("faas-manifest.json"), manifest).unwrap();
    let folder = folder.path().to_str().unwrap();
    let ran = service.gitfaas(&["run", folder, "--", "a", "b"]).await;
    assert_eq!(ran.status.code(), Some(3), "{}", errors(&ran));
}

#[tokio::test]
async fn a_wrong_configuration_names_everything_that_is_wrong_and_ends_with_64() {
    let service = Service::start().await;
    let wrong = [("GITFAAS_LISTEN", "here"), ("GITFAAS_WORKER_SLOTS", "many")];
    let ended = service.gitfaas_with(&["up"], &wrong).await;
    assert_eq!(ended.status.code(), Some(64));
    assert!(wrong.iter().all(|(name, _)| errors(&ended).contains(name)), "{}", errors(&ended));
    let second = service.gitfaas(&["up"]).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(errors(&second).contains("another `gitfaas up` is running"), "{}", errors(&second));
}

#[tokio::test]
async fn the_doctor_finds_this_machine_in_order() {
    let service = Service::start().await;
    let told = service.gitfaas(&["doctor"]).await;
    assert!(told.status.success(), "{}{}", out(&told), errors(&told));
    for what in ["NATS", "Docker"] {
        assert!(out(&told).contains(what), "{}", out(&told));
    }
}
