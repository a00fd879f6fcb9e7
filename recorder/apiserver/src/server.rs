//! One server: its state, who may ask, and which part answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::routing::any;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::answer::{self, Answer, Refusal};
use crate::control;
use crate::fault::{Effect, Faults};
use crate::query::Query;
use crate::resource::Target;
use crate::store::Store;
use crate::{exec, kubelet, read, stream, write};

/// Bodies beyond this are refused.
const BODY_BYTES: usize = 64 << 20;

/// What open watches wait for; each number grows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signals {
    pub(crate) changes: u64,
    pub(crate) bookmarks: u64,
    pub(crate) breaks: u64,
}

/// A request that came, for a test to look at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Seen {
    verb: &'static str,
    resource: String,
    path: String,
    query: String,
}

/// The state that every request shares.
pub(crate) struct Server {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    seen: Mutex<Vec<Seen>>,
    open: Mutex<BTreeMap<String, usize>>,
    pub(crate) signals: watch::Sender<Signals>,
    token: Option<String>,
    program: Option<PathBuf>,
}

/// Present state behind a lock; a panic of another request changes nothing about it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// A server whose objects stand in a file, and that lets in whoever has the token.
    pub(crate) fn open(
        file: Option<PathBuf>,
        token: Option<String>,
        program: Option<PathBuf>,
    ) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            store: Mutex::new(Store::open(file)?),
            faults: Mutex::default(),
            seen: Mutex::default(),
            open: Mutex::default(),
            signals: watch::Sender::new(Signals::default()),
            token,
            program,
        }))
    }

    /// What is executed in place of the program of a container.
    pub(crate) fn program(&self) -> Option<&PathBuf> {
        self.program.as_ref()
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.store)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        locked(&self.faults)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        locked(&self.seen).clone()
    }

    /// Open watches by plural name of their resource.
    pub(crate) fn open_watches(&self) -> BTreeMap<String, usize> {
        locked(&self.open).clone()
    }

    /// Changes the store, keeps the change, and tells every watch.
    pub(crate) fn change<T>(&self, what: impl FnOnce(&mut Store) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut store = self.store();
        let changed = what(&mut store)?;
        kubelet::reconcile(&mut store)?;
        let failed = |error| Refusal::new(500, format!("cannot keep the change: {error}"));
        store.save().map_err(failed)?;
        drop(store);
        self.signals.send_modify(|signals| signals.changes += 1);
        Ok(changed)
    }

    /// Counts a watch while the result lives.
    pub(crate) fn opened(self: &Arc<Self>, plural: &'static str) -> OpenWatch {
        *locked(&self.open).entry(plural.to_owned()).or_default() += 1;
        OpenWatch {
            server: Arc::clone(self),
            plural,
        }
    }
}

/// One open watch.
pub(crate) struct OpenWatch {
    server: Arc<Server>,
    plural: &'static str,
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        if let Some(count) = locked(&self.server.open).get_mut(self.plural) {
            *count -= 1;
        }
    }
}

/// The routes: `/control/...` for tests, everything else is the Kubernetes API.
pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/control/{order}", any(control::order))
        .route("/version", any(version))
        .fallback(kubernetes)
        .with_state(server)
}

async fn version() -> Answer {
    answer::json(
        200,
        &json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}),
    )
}

async fn kubernetes(State(server): State<Arc<Server>>, request: Request) -> Result<Answer, Infallible> {
    let answered = answer_request(server, request).await;
    Ok(answered.unwrap_or_else(|refusal| refusal.answer()))
}

async fn answer_request(server: Arc<Server>, request: Request) -> Result<Answer, Refusal> {
    let (parts, body) = request.into_parts();
    let bearer = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if server.token.is_some() && bearer != server.token.as_deref() {
        return Err(Refusal::new(401, "Unauthorized"));
    }
    let path = parts.uri.path();
    let not_found = || Refusal::new(404, format!("this server has no `{path}`"));
    let target = Target::parse(path).ok_or_else(not_found)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let verb = verb(&parts.method, &target, &query)?;
    locked(&server.seen).push(Seen {
        verb,
        resource: target.resource.plural.to_owned(),
        path: path.to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
    });
    let met = server.faults().meet(verb, target.resource.plural);
    let effect = match met {
        Some(Effect::Refuse { code, retry_after }) => {
            return Err(Refusal {
                retry_after,
                ..Refusal::new(code, format!("refused as ordered: {verb} {}", target.resource.plural))
            });
        }
        Some(Effect::Delay { millis }) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            None
        }
        Some(Effect::Hang) if verb != "watch" => std::future::pending().await,
        other => other,
    };
    match verb {
        "watch" => stream::watch(&server, target, &query, effect),
        "list" => read::list(&server, &target, &query),
        "get" => read::get(&server, &target),
        "exec" => exec::exec(&server, &target, &query, parts, effect).await,
        _ => {
            let kind = parts
                .headers
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let document = document(body).await?;
            write::write(&server, verb, &target, &query, kind.unwrap_or_default(), document)
        }
    }
}

/// The verb of a request, in the words of Kubernetes.
fn verb(method: &Method, target: &Target, query: &Query) -> Result<&'static str, Refusal> {
    match (method.as_str(), &target.name) {
        ("GET", _) if query.watch => Ok("watch"),
        ("GET", Some(_)) if target.subresource.as_deref() == Some("exec") => Ok("exec"),
        ("GET", Some(_)) => Ok("get"),
        ("GET", None) => Ok("list"),
        ("POST", None) => Ok("create"),
        ("PUT", Some(_)) => Ok("update"),
        ("PATCH", Some(_)) => Ok("patch"),
        ("DELETE", _) => Ok("delete"),
        _ => Err(Refusal::new(405, format!("{method} is not possible here"))),
    }
}

/// The body of a request; an empty one is null.
pub(crate) async fn document(body: Body) -> Result<Value, Refusal> {
    let refused = |error: String| Refusal::new(400, format!("cannot read the body: {error}"));
    let bytes = axum::body::to_bytes(body, BODY_BYTES)
        .await
        .map_err(|error| refused(error.to_string()))?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))
}
