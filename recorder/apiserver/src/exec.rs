//! Executes in a pod: a real process, whose streams travel over a WebSocket as the API server sends them (Kubernetes
//! `v5.channel.k8s.io` and `v4.channel.k8s.io`: the first byte of a message is its channel).

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::answer::{Answer, Refusal};
use crate::fault::Effect;
use crate::kubelet::{HOME, SCRIPT, node_of};
use crate::query::Query;
use crate::read::{key, missing};
use crate::resource::Target;
use crate::server::Server;

/// Channels, by their number in the protocol.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// A message that closes the channel named in its second byte; since v5.
const CLOSE: u8 = 255;

/// Answers a request for `exec` with a WebSocket.
pub(crate) async fn exec(
    server: &Arc<Server>,
    target: &Target,
    query: &Query,
    mut parts: Parts,
    effect: Option<Effect>,
) -> Result<Answer, Refusal> {
    let mut command = command(server, target, query)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|error| Refusal::new(400, error.to_string()))?;
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Refusal::new(500, format!("cannot execute: {error}")))?;
    let room = match effect {
        Some(Effect::CutAfter { bytes }) => bytes,
        _ => usize::MAX,
    };
    let upgrade = upgrade.protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]);
    Ok(upgrade
        .on_upgrade(move |socket| carry(socket, child, room))
        .into_response())
}

/// The process for a command in a pod: the program of the server for that of the image, and the directory that the node
/// holds for the pod in place of each `emptyDir`.
fn command(server: &Arc<Server>, target: &Target, query: &Query) -> Result<Command, Refusal> {
    let key = key(target)?;
    let store = server.store();
    let pod = store.get(&key).ok_or_else(|| missing(&key))?;
    let unreachable = || {
        Refusal::new(
            500,
            format!("error dialing backend: pod \"{}\" cannot be reached", key.2),
        )
    };
    if !matches!(
        pod["metadata"]["annotations"][SCRIPT].as_str(),
        Some("ready" | "leaving")
    ) {
        return Err(unreachable());
    }
    let node = node_of(&store, pod).ok_or_else(unreachable)?;
    let home = node["metadata"]["annotations"][HOME].as_str().ok_or_else(unreachable)?;
    let owner = pod["metadata"]["ownerReferences"][0]["kind"]
        .as_str()
        .unwrap_or_default();
    let home = Path::new(home).join(owner);
    let program = server
        .program()
        .ok_or_else(|| Refusal::new(500, "the server has no `--program`"))?;
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
    let is_mount = |text: &String| mounts.is_some_and(|all| all.iter().any(|mount| mount["mountPath"] == **text));
    let mut command = Command::new(program);
    for argument in query.command.iter().skip(1) {
        if is_mount(argument) {
            command.arg(&home);
        } else {
            command.arg(argument);
        }
    }
    Ok(command)
}

/// Carries the streams of a process until it ends, or until that many bytes of its output went over.
async fn carry(socket: WebSocket, mut child: Child, room: usize) {
    let (mut to, mut from) = socket.split();
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return;
    };
    let feed = async {
        while let Some(Ok(message)) = from.next().await {
            match message {
                Message::Binary(bytes) if bytes.first() == Some(&STDIN) => {
                    if stdin.write_all(&bytes[1..]).await.is_err() {
                        break;
                    }
                }
                Message::Binary(bytes) if *bytes == [CLOSE, STDIN] => break,
                Message::Close(_) => break,
                Message::Binary(_) | Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        drop(stdin);
        // A client that says nothing more may still listen.
        std::future::pending::<()>().await;
    };
    let drain = async {
        let (mut left, mut output, mut words) = (room, vec![0; 16 << 10], vec![0; 1 << 10]);
        let (mut is_open, mut is_talking) = (true, true);
        while is_open || is_talking {
            let (channel, bytes) = tokio::select! {
                read = stdout.read(&mut output), if is_open => (STDOUT, &output[..read.unwrap_or(0)]),
                read = stderr.read(&mut words), if is_talking => (STDERR, &words[..read.unwrap_or(0)]),
            };
            if bytes.is_empty() {
                if channel == STDOUT {
                    is_open = false;
                } else {
                    is_talking = false;
                }
                continue;
            }
            let sent = bytes.len().min(left);
            left -= sent;
            let message = [&[channel], &bytes[..sent]].concat();
            if to.send(Message::Binary(message.into())).await.is_err() || left == 0 {
                return;
            }
        }
        let ended = child.wait().await;
        let message = [
            &[ERROR][..],
            status(ended.ok().and_then(|ended| ended.code())).to_string().as_bytes(),
        ]
        .concat();
        let _ = to.send(Message::Binary(message.into())).await;
        let _ = to.send(Message::Close(None)).await;
    };
    tokio::select! { () = feed => {}, () = drain => {} }
}

/// How a process ended, as the API server says it.
fn status(code: Option<i32>) -> Value {
    if code == Some(0) {
        return json!({"metadata": {}, "status": "Success"});
    }
    let code = code.unwrap_or(137);
    json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}})
}
