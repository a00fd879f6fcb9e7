//! Follows one resource: list, then watch from there, and again from where it broke.
//!
//! A watch that breaks goes on at the version it had reached. What the API server then tells first had happened in
//! between: up to the version that the cluster had when it answered again, changes are `assumed`, not observed. Where the
//! version is no longer known there (410), everything is listed anew.

use std::time::Duration;

use flowtape_schemas::cluster::Bound;
use flowtape_schemas::metadata::Reduced;
use flowtape_schemas::time::Time;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::news::{News, Timeline, What};
use super::request::{Api, Line, Lines, RequestError};
use super::resource::Scope;

/// How much longer than asked for a watch may last before it counts as dead, unless twice as long is less.
const GRACE: Duration = Duration::from_secs(10);

/// A watch that ends sooner and without a line is no reason to ask again at once.
const SHORT: Duration = Duration::from_secs(1);

/// After so many failures at one version it may be that version, and everything is listed anew.
const TRIES: u32 = 3;

/// Nobody listens any more.
pub(super) struct Unheard;

type Told<T> = Result<T, Unheard>;

/// Follows one scope.
pub(super) struct Follower {
    number: usize,
    scope: Scope,
    api: Api,
    timeline: Timeline,
    lasting: Duration,
    news: Sender<News>,
    backoff: Backoff,
    /// When the last watch was alive.
    alive: Time,
    /// Since when there is none, and why.
    lost: Option<(Time, String)>,
}

impl Follower {
    pub(super) fn new(
        number: usize,
        scope: Scope,
        api: Api,
        timeline: Timeline,
        lasting: Duration,
        news: Sender<News>,
    ) -> Self {
        Self {
            number,
            scope,
            api,
            timeline,
            lasting,
            news,
            backoff: Backoff::default(),
            alive: timeline.now(),
            lost: None,
        }
    }

    /// Follows until nobody listens.
    pub(super) async fn run(mut self) {
        while self.round().await.is_ok() {}
    }

    /// A list and the watches that follow it, until a list is needed again.
    async fn round(&mut self) -> Told<()> {
        let (version, objects) = self.list().await?;
        self.backoff.reset();
        self.found(false).await?;
        self.lost = None;
        self.tell(What::Listed(objects)).await?;
        self.follow(version).await
    }

    /// Every object, however often it takes.
    async fn list(&mut self) -> Told<(String, Vec<Reduced>)> {
        loop {
            match self.pages().await? {
                Ok(listed) => return Ok(listed),
                // The list took longer than the API server remembers; it begins anew.
                Err(error) => self.failed("list", &error).await?,
            }
        }
    }

    async fn pages(&mut self) -> Told<Result<(String, Vec<Reduced>), RequestError>> {
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = match self.api.page(&self.scope, next.as_deref()).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            let (version, following) = (page.version().to_owned(), page.next().map(str::to_owned));
            for item in page.items.unwrap_or_default() {
                objects.extend(self.reduce(item).await?);
            }
            next = match following {
                Some(next) => Some(next),
                None => return Ok(Ok((version, objects))),
            };
        }
    }

    /// Watches from a version on, again and again, until a list is needed.
    async fn follow(&mut self, mut version: String) -> Told<()> {
        let mut tries = 0;
        while tries < TRIES {
            let mut past = None;
            if self.lost.is_some() {
                match self.api.version(&self.scope).await {
                    Ok(present) => past = present.parse().ok(),
                    Err(error) => {
                        self.failed("list", &error).await?;
                        continue;
                    }
                }
            }
            let (begun, from) = (Instant::now(), version.clone());
            let ended = match self.api.watch(&self.scope, &version, self.lasting).await {
                Ok(lines) => {
                    self.found(true).await?;
                    self.read(lines, &mut version, past).await?
                }
                Err(error) => Err(error),
            };
            tries = if version == from { tries } else { 0 };
            match ended {
                Ok(()) => {
                    tries = 0;
                    if version == from && begun.elapsed() < SHORT {
                        tokio::time::sleep(self.backoff.next()).await;
                    }
                }
                Err(error) if error.is_expired() => {
                    self.lose(&error).await?;
                    return Ok(());
                }
                Err(error) => {
                    tries += u32::from(error.may_be_of_the_version());
                    self.failed("watch", &error).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads a watch to its end. Changes up to version `past` had happened before it began.
    async fn read(
        &mut self,
        mut lines: Lines,
        version: &mut String,
        past: Option<u64>,
    ) -> Told<Result<(), RequestError>> {
        self.alive = self.timeline.now();
        let dead = Instant::now() + self.lasting + self.lasting.min(GRACE);
        loop {
            let line = match tokio::time::timeout_at(dead, lines.next()).await {
                Ok(Ok(line)) => line,
                Ok(Err(error)) => {
                    // Where the other side closed, all it had sent has arrived.
                    self.alive = self.timeline.now();
                    return Ok(Err(error));
                }
                Err(_elapsed) => {
                    let silent = RequestError::Lost("the watch went on beyond its time without a word".to_owned());
                    return Ok(Err(silent));
                }
            };
            self.alive = self.timeline.now();
            self.lost = None;
            let Some(line) = line else { return Ok(Ok(())) };
            self.backoff.reset();
            let (Line::Put(object) | Line::Removed(object) | Line::Bookmark(object)) = &line;
            let told = object["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let number: Option<u64> = told.parse().ok();
            let bound = match (number, past) {
                (Some(number), Some(past)) if number <= past => Bound::Assumed,
                _ => Bound::Observed,
            };
            match line {
                Line::Put(object) => {
                    if let Some(object) = self.reduce(object).await? {
                        self.tell(What::Put(object, bound)).await?;
                    }
                }
                Line::Removed(object) => {
                    if let Some(object) = self.reduce(object).await? {
                        self.tell(What::Removed(object, bound)).await?;
                    }
                }
                Line::Bookmark(_) => {}
            }
            // Events out of their order must not lead back.
            if number.is_none() || number > version.parse().ok() {
                *version = told;
            }
        }
    }

    /// Reduces an object to the allow-list; what cannot be read is told.
    async fn reduce(&mut self, object: Value) -> Told<Option<Reduced>> {
        let resource = self.scope.resource;
        match Reduced::parse(object, &resource.api_version(), resource.kind) {
            Ok(object) => Ok(object),
            Err(error) => {
                self.tell(What::Unreadable(error.to_string())).await?;
                Ok(None)
            }
        }
    }

    /// There is a watch or a list again; `caught_up` if all changes in between are told now.
    async fn found(&mut self, caught_up: bool) -> Told<()> {
        match self.lost.clone() {
            Some((start, reason)) => {
                self.tell(What::Found {
                    start,
                    caught_up,
                    reason,
                })
                .await
            }
            None => Ok(()),
        }
    }

    async fn lose(&mut self, error: &RequestError) -> Told<()> {
        let (since, _) = self.lost.get_or_insert_with(|| (self.alive, error.to_string()));
        let since = *since;
        let reason = error.to_string();
        self.tell(What::Lost { since, reason }).await
    }

    /// Tells of a failure and waits as long as it takes.
    async fn failed(&mut self, verb: &'static str, error: &RequestError) -> Told<()> {
        if error.is_denial() {
            let reason = error.to_string();
            self.tell(What::Denied { verb, reason }).await?;
        }
        self.lose(error).await?;
        let wait = self.backoff.next().max(error.retry_after());
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn tell(&self, what: What) -> Told<()> {
        let news = News {
            follower: self.number,
            at: self.timeline.now(),
            what,
        };
        self.news.send(news).await.map_err(|_closed| Unheard)
    }
}
