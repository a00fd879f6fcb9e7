//! Watches: one JSON line per change, until the time is over, the client goes, or a fault ends it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::Instant;

use crate::answer::{Answer, Refusal, status};
use crate::fault::Effect;
use crate::query::Query;
use crate::read::selected;
use crate::resource::Target;
use crate::server::{OpenWatch, Server, Signals};
use crate::store::{Change, Kind};

/// How long a watch lasts whose client does not say.
const DEFAULT_SECONDS: u64 = 1800;

/// Why a watch ends.
enum End {
    /// The time is over, or the client is gone.
    Clean,
    /// A fault cuts the connection.
    Broken,
}

type Sent<T> = Result<T, End>;

/// Answers with a stream that follows the changes of a resource.
pub(crate) fn watch(
    server: &Arc<Server>,
    target: Target,
    query: &Query,
    effect: Option<Effect>,
) -> Result<Answer, Refusal> {
    let (lines, received) = mpsc::channel(64);
    let begin = Follower::begin(server, target, query, effect, lines)?;
    tokio::spawn(begin.run());
    let frames = futures_util::stream::unfold(received, |mut received| async {
        received.recv().await.map(|frame| (frame, received))
    });
    let mut answer = Response::new(Body::from_stream(frames));
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

struct Follower {
    server: Arc<Server>,
    target: Target,
    query: Query,
    effect: Option<Effect>,
    lines: Sender<io::Result<Bytes>>,
    /// The version up to which changes were sent.
    seen: u64,
    /// Lines that a fault still lets through.
    whole_lines: Option<u32>,
    /// The first of a pair that a fault turns round.
    held: Option<Value>,
    end: Instant,
    _open: OpenWatch,
}

impl Follower {
    fn begin(
        server: &Arc<Server>,
        target: Target,
        query: &Query,
        effect: Option<Effect>,
        lines: Sender<io::Result<Bytes>>,
    ) -> Result<Self, Refusal> {
        let refused = |error| {
            Refusal::new(
                400,
                format!("invalid resource version `{}`: {error}", query.resource_version),
            )
        };
        let from: u64 = match query.resource_version.as_str() {
            "" => 0,
            text => text.parse().map_err(refused)?,
        };
        let whole_lines = match effect {
            Some(Effect::BreakAfter { events }) => Some(events),
            _ => None,
        };
        let seconds = query.timeout_seconds.unwrap_or(DEFAULT_SECONDS);
        Ok(Self {
            _open: server.opened(target.resource.plural),
            server: Arc::clone(server),
            query: Query {
                bookmarks: query.bookmarks,
                selector: query.selector.clone(),
                ..Query::default()
            },
            target,
            effect,
            lines,
            seen: from,
            whole_lines,
            held: None,
            end: Instant::now() + Duration::from_secs(seconds),
        })
    }

    async fn run(mut self) {
        if let Err(End::Broken) = self.follow().await {
            let cut = io::Error::other("cut as ordered");
            let _ = self
                .lines
                .send(Ok(Bytes::from_static(b"{\"type\":\"ADDED\",\"obj")))
                .await;
            // An error right behind a frame makes the HTTP library drop both; the frame has to be on its way first.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = self.lines.send(Err(cut)).await;
        }
    }

    async fn follow(&mut self) -> Sent<()> {
        match self.effect.clone() {
            Some(Effect::ErrorEvent { code }) => {
                self.error(code, "an error as ordered").await?;
                return Ok(());
            }
            Some(Effect::Garbage { line }) => self.send(line).await?,
            Some(Effect::Hang) => {
                self.lines.closed().await;
                return Ok(());
            }
            _ => {}
        }
        let mut signals = self.server.signals.subscribe();
        let mut before = *signals.borrow_and_update();
        if self.seen == 0 {
            self.present().await?;
        }
        loop {
            if !self.changes().await? {
                return Ok(());
            }
            tokio::select! {
                changed = signals.changed() => if changed.is_err() { return Ok(()) },
                () = self.lines.closed() => return Ok(()),
                () = tokio::time::sleep_until(self.end) => return Ok(()),
            }
            let now = *signals.borrow_and_update();
            self.obey(before, now).await?;
            before = now;
        }
    }

    /// Does what a test ordered all watches to do.
    async fn obey(&mut self, before: Signals, now: Signals) -> Sent<()> {
        if now.breaks > before.breaks {
            return Err(End::Broken);
        }
        if now.bookmarks > before.bookmarks && self.query.bookmarks {
            self.changes().await?;
            // A bookmark says that everything up to now has been sent.
            self.seen = self.server.store().version();
            let kind = (self.target.resource.kind, self.target.resource.api_version());
            let object = json!({"kind": kind.0, "apiVersion": kind.1,
                "metadata": {"resourceVersion": self.seen.to_string(), "creationTimestamp": null}});
            self.send(line("BOOKMARK", &object)).await?;
        }
        Ok(())
    }

    /// A watch without a version begins with everything there is.
    async fn present(&mut self) -> Sent<()> {
        let (version, items) = {
            let store = self.server.store();
            let items: Vec<Value> = store.all(self.target.resource).cloned().collect();
            (store.version(), selected(items, &self.target, &self.query))
        };
        for object in items {
            self.event(json!({"type": "ADDED", "object": object})).await?;
        }
        self.seen = version;
        Ok(())
    }

    /// Sends what changed; false where the history does not reach back.
    async fn changes(&mut self) -> Sent<bool> {
        let changes = {
            let store = self.server.store();
            let of = store.since(self.seen, self.target.resource);
            of.map(|changes| changes.into_iter().cloned().collect::<Vec<Change>>())
        };
        let Some(changes) = changes else {
            self.error(410, &format!("too old resource version: {}", self.seen))
                .await?;
            return Ok(false);
        };
        for Change { version, kind, object } in changes {
            self.seen = version;
            let word = match kind {
                Kind::Added => "ADDED",
                Kind::Modified => "MODIFIED",
                Kind::Deleted => "DELETED",
            };
            for object in selected([object], &self.target, &self.query) {
                self.event(json!({"type": word, "object": object})).await?;
            }
        }
        Ok(true)
    }

    async fn error(&mut self, code: u16, message: &str) -> Sent<()> {
        self.send(line("ERROR", &status(code, message))).await
    }

    /// Sends an event in the way that the fault says.
    async fn event(&mut self, event: Value) -> Sent<()> {
        match self.effect {
            Some(Effect::Duplicate) => {
                self.send(event.to_string()).await?;
                self.send(event.to_string()).await
            }
            Some(Effect::Reorder) => {
                let Some(earlier) = self.held.take() else {
                    self.held = Some(event);
                    return Ok(());
                };
                self.send(event.to_string()).await?;
                self.send(earlier.to_string()).await
            }
            _ => self.send(event.to_string()).await,
        }
    }

    async fn send(&mut self, line: String) -> Sent<()> {
        match &mut self.whole_lines {
            Some(0) => return Err(End::Broken),
            Some(left) => *left -= 1,
            None => {}
        }
        let frame = Ok(Bytes::from(line + "\n"));
        self.lines.send(frame).await.map_err(|_gone| End::Clean)
    }
}

fn line(word: &str, object: &Value) -> String {
    json!({"type": word, "object": object}).to_string()
}
