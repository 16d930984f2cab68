//! A git server that says what it is told to, over real HTTP, a piece at a time.

use std::{collections::HashMap, convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;

use crate::packs::Hostile;

/// What a repository of the server does.
#[derive(Clone)]
pub(crate) enum Says {
    /// Gives this pack, whatever is asked for.
    Pack(Hostile),
    /// Lists so many refs, in version 2 of the protocol.
    Refs(usize),
    /// Lists so many refs, in version 0.
    OldRefs(usize),
    /// Sends a byte of a list of refs now and then.
    Drip,
    /// Sends a byte of a pack now and then.
    DripOfPack(Hostile),
}

/// How often a byte drips: well within what is waited for in silence.
const DRIP: Duration = Duration::from_millis(50);

/// Serves repositories under their names; returns the address.
pub(crate) async fn serve(repositories: HashMap<&'static str, Says>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(Arc::new(repositories));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn pkt(line: impl AsRef<[u8]>) -> Vec<u8> {
    let line = line.as_ref();
    [format!("{:04x}", line.len() + 4).as_bytes(), line].concat()
}

async fn answer(State(repositories): State<Arc<HashMap<&'static str, Says>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let name = path.trim_start_matches("/a/").split(['/', '.']).next().unwrap_or_default();
    let says = repositories[name].clone();
    let asked = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    if path.ends_with("/info/refs") {
        let begin = [pkt("# service=git-upload-pack\n"), b"0000".to_vec()].concat();
        let capabilities = match says {
            Says::OldRefs(count) => {
                let rest = refs(count, "\0shallow allow-reachable-sha1-in-want side-band-64k agent=a");
                return typed("advertisement", stream::iter([begin]).chain(rest));
            }
            Says::Drip => return typed("advertisement", drip(begin.repeat(1000))),
            Says::Pack(_) | Says::Refs(_) | Says::DripOfPack(_) => {
                ["version 2\n", "agent=a\n", "ls-refs=unborn\n", "fetch=shallow\n", "object-format=sha1\n"]
            }
        };
        let lines = capabilities.iter().flat_map(pkt).collect::<Vec<u8>>();
        return typed("advertisement", stream::iter([begin, lines, b"0000".to_vec()]));
    }
    let fetches = asked.windows(13).any(|words| words == b"command=fetch");
    match says {
        Says::Refs(count) => typed("result", refs(count, "")),
        Says::Pack(hostile) | Says::DripOfPack(hostile) if !fetches => {
            let line = pkt(format!("{} HEAD\n", hostile.commit));
            typed("result", stream::iter([line, b"0000".to_vec()]))
        }
        Says::Pack(hostile) => typed("result", stream::iter([answered(&hostile)]).chain(pack(hostile.pack))),
        Says::DripOfPack(hostile) => {
            let begin = pkt([b"\x01".as_slice(), &std::fs::read(&hostile.pack).unwrap()].concat());
            typed("result", stream::iter([answered(&hostile)]).chain(drip(begin)))
        }
        Says::OldRefs(_) | Says::Drip => unreachable!("nothing else is asked of it"),
    }
}

fn typed(what: &str, pieces: impl Stream<Item = Vec<u8>> + Send + 'static) -> Response {
    let body = Body::from_stream(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
    ([(CONTENT_TYPE, format!("application/x-git-upload-pack-{what}"))], body).into_response()
}

/// What stands before a pack.
fn answered(hostile: &Hostile) -> Vec<u8> {
    let shallow = pkt(format!("shallow {}", hostile.commit));
    [pkt("shallow-info\n"), shallow, b"0001".to_vec(), pkt("packfile\n")].concat()
}

/// A file, wrapped as git wraps packs.
fn pack(path: PathBuf) -> impl Stream<Item = Vec<u8>> + Send {
    const PIECE: usize = 60_000;
    let opened = stream::once(async move { tokio::fs::File::open(path).await.unwrap() });
    opened
        .flat_map(|file| {
            stream::unfold(file, |mut file| async move {
                let mut piece = vec![1; PIECE];
                let read = file.read(&mut piece[1..]).await.unwrap();
                piece.truncate(read + 1);
                (read > 0).then(|| (pkt(piece), file))
            })
        })
        .chain(stream::iter([b"0000".to_vec()]))
        .boxed()
}

/// So many refs, hundreds at a time.
fn refs(count: usize, capabilities: &'static str) -> impl Stream<Item = Vec<u8>> + Send {
    const AT_ONCE: usize = 500;
    let line = move |n: usize| match n {
        0 => pkt(format!("{} HEAD{capabilities}\n", "a".repeat(40))),
        n => pkt(format!("{} refs/heads/a-branch-of-many-{n}\n", "a".repeat(40))),
    };
    let pieces = (0..count.div_ceil(AT_ONCE)).map(move |piece| {
        (piece * AT_ONCE..count.min((piece + 1) * AT_ONCE)).flat_map(line).collect::<Vec<u8>>()
    });
    stream::iter(pieces.chain([b"0000".to_vec()]))
}

fn drip(bytes: Vec<u8>) -> impl Stream<Item = Vec<u8>> + Send {
    stream::iter(bytes).then(|byte| async move {
        tokio::time::sleep(DRIP).await;
        vec![byte]
    })
}
