//! The objects and their history, with one resource version that counts every change.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::resource::Resource;

/// Where an object stands: resource, namespace, name.
pub(crate) type Key = (&'static Resource, String, String);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// One change, as a watch sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    pub(crate) object: Value,
}

/// What a page of a list does not hold yet.
#[derive(Debug)]
struct Rest {
    version: u64,
    items: Vec<Value>,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) items: Vec<Value>,
    /// Where to go on, and how many items are left.
    pub(crate) next: Option<(String, usize)>,
}

/// Everything the server knows.
#[derive(Debug, Default)]
pub(crate) struct Store {
    version: u64,
    /// Changes up to this version are forgotten.
    compacted: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Change>,
    pages: BTreeMap<String, Rest>,
    file: Option<PathBuf>,
}

/// The form in which a store outlives its process.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u64,
    compacted: u64,
    objects: Vec<Value>,
    history: Vec<Change>,
}

impl Store {
    /// The store in a file, or an empty one that will stand there; without a file it ends with the process.
    pub(crate) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let mut store = Self::default();
        if let Some(text) = file
            .as_ref()
            .filter(|file| file.exists())
            .map(std::fs::read)
            .transpose()?
        {
            let Stored {
                version,
                compacted,
                objects,
                history,
            } = serde_json::from_slice(&text)?;
            (store.version, store.compacted, store.history) = (version, compacted, history);
            for object in objects {
                let key = key_of(&object).map_err(|refusal| io::Error::other(refusal.message))?;
                store.objects.insert(key, object);
            }
        }
        store.file = file;
        Ok(store)
    }

    /// The number of the latest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Every object of a resource, in the order of namespace and name.
    pub(crate) fn all(&self, resource: &'static Resource) -> impl Iterator<Item = &Value> {
        self.objects
            .iter()
            .filter(move |((of, ..), _)| *of == resource)
            .map(|(_, object)| object)
    }

    /// Every object there is.
    pub(crate) fn everything(&self) -> impl Iterator<Item = &Value> {
        self.objects.values()
    }

    /// Stores an object as it is, under the next version; what only a server can know is added.
    pub(crate) fn put(&mut self, mut object: Value) -> Result<Value, Refusal> {
        let key = key_of(&object)?;
        self.version += 1;
        let before = self.objects.get(&key);
        let metadata = &mut object["metadata"];
        let inherited = |field: &str, default: String| {
            let known = before.map(|before| &before["metadata"][field]).and_then(Value::as_str);
            json!(known.map_or(default, str::to_owned))
        };
        if !metadata["uid"].is_string() {
            metadata["uid"] = inherited("uid", format!("00000000-0000-4000-8000-{:012}", self.version));
        }
        if !metadata["creationTimestamp"].is_string() {
            metadata["creationTimestamp"] = inherited("creationTimestamp", now());
        }
        metadata["resourceVersion"] = json!(self.version.to_string());
        let kind = if before.is_some() { Kind::Modified } else { Kind::Added };
        self.remember(kind, object.clone());
        self.objects.insert(key, object.clone());
        Ok(object)
    }

    /// Removes an object, and with a namespace everything in it.
    pub(crate) fn delete(&mut self, key: &Key) -> Option<Value> {
        let object = self.remove(key)?;
        if key.0.plural == "namespaces" {
            let inside: Vec<Key> = self.objects.keys().filter(|(_, of, _)| *of == key.2).cloned().collect();
            for key in &inside {
                self.remove(key);
            }
        }
        Some(object)
    }

    /// Forgets the history: watches from before and pages of lists are expired from now on.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
        self.pages.clear();
    }

    /// The changes of a resource after a version; `None` where they are forgotten.
    pub(crate) fn since(&self, version: u64, resource: &Resource) -> Option<Vec<&Change>> {
        let of = |change: &&Change| change.version > version && is_of(&change.object, resource);
        (version >= self.compacted).then(|| self.history.iter().filter(of).collect())
    }

    /// Begins a list of `limit` items a page; zero is no limit.
    pub(crate) fn page(&mut self, items: Vec<Value>, limit: usize) -> Page {
        self.cut(self.version, items, limit)
    }

    /// Goes on with a list where a page ended; `None` if it has expired.
    pub(crate) fn next_page(&mut self, token: &str, limit: usize) -> Option<Page> {
        let Rest { version, items } = self.pages.remove(token)?;
        Some(self.cut(version, items, limit))
    }

    fn cut(&mut self, version: u64, mut items: Vec<Value>, limit: usize) -> Page {
        let mut next = None;
        if limit > 0 && items.len() > limit {
            let rest = items.split_off(limit);
            let token = format!("{version}-{}-{}", self.pages.len(), rest.len());
            next = Some((token.clone(), rest.len()));
            self.pages.insert(token, Rest { version, items: rest });
        }
        Page { version, items, next }
    }

    /// Makes what was changed outlive the process.
    pub(crate) fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let stored = Stored {
            version: self.version,
            compacted: self.compacted,
            objects: self.objects.values().cloned().collect(),
            history: self.history.clone(),
        };
        let temporary = file.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec(&stored)?)?;
        std::fs::rename(&temporary, file)
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let mut object = self.objects.remove(key)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.remember(Kind::Deleted, object.clone());
        Some(object)
    }

    fn remember(&mut self, kind: Kind, object: Value) {
        self.history.push(Change {
            version: self.version,
            kind,
            object,
        });
    }
}

/// Where an object belongs.
pub(crate) fn key_of(object: &Value) -> Result<Key, Refusal> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    let unknown = || Refusal::new(404, format!("no resource has objects of `{api_version}` `{kind}`"));
    let resource = Resource::of_object(api_version, kind).ok_or_else(unknown)?;
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    if name.is_empty() || namespace.is_empty() == resource.namespaced {
        return Err(Refusal::new(
            422,
            format!("`{kind}` needs a name, and a namespace if its kind has one"),
        ));
    }
    Ok((resource, namespace.to_owned(), name.to_owned()))
}

fn is_of(object: &Value, resource: &Resource) -> bool {
    object["kind"] == resource.kind && object["apiVersion"] == json!(resource.api_version())
}

/// The present time as the API prints it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
