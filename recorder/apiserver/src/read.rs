//! GET of one object and of lists.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::query::Query;
use crate::resource::Target;
use crate::server::Server;
use crate::store::{Key, Page};

/// The place of the object that a path names.
pub(crate) fn key(target: &Target) -> Result<Key, Refusal> {
    let name = target
        .name
        .clone()
        .ok_or_else(|| Refusal::new(405, "a name is missing"))?;
    Ok((target.resource, target.namespace.clone().unwrap_or_default(), name))
}

/// An object that is not there.
pub(crate) fn missing((resource, _, name): &Key) -> Refusal {
    Refusal::new(404, format!("{} \"{name}\" not found", resource.plural))
}

pub(crate) fn get(server: &Arc<Server>, target: &Target) -> Result<Answer, Refusal> {
    if let Some(part) = target.subresource.as_deref().filter(|part| *part != "status") {
        return Err(Refusal::new(404, format!("this server has no `{part}`")));
    }
    let key = key(target)?;
    let store = server.store();
    let object = store.get(&key).ok_or_else(|| missing(&key))?;
    Ok(answer::json(200, object))
}

/// The objects that a path and a query select.
pub(crate) fn selected(items: impl IntoIterator<Item = Value>, target: &Target, query: &Query) -> Vec<Value> {
    let here = |object: &Value| {
        target
            .namespace
            .as_ref()
            .is_none_or(|wanted| object["metadata"]["namespace"] == json!(wanted))
    };
    items
        .into_iter()
        .filter(|object| here(object) && query.selector.selects(object))
        .collect()
}

pub(crate) fn list(server: &Arc<Server>, target: &Target, query: &Query) -> Result<Answer, Refusal> {
    let mut store = server.store();
    let page = if query.next.is_empty() {
        check_version(query, store.version())?;
        let items = selected(store.all(target.resource).cloned().collect::<Vec<_>>(), target, query);
        store.page(items, query.limit)
    } else {
        let expired = || {
            Refusal::new(
                410,
                "The provided continue parameter is too old to display a consistent list result.",
            )
        };
        store.next_page(&query.next, query.limit).ok_or_else(expired)?
    };
    let Page { version, items, next } = page;
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some((token, left)) = next {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(left);
    }
    // Items of a typed list come without their own kind, as from the API server.
    let bare = |mut item: Value| {
        if let Some(item) = item.as_object_mut() {
            item.remove("kind");
            item.remove("apiVersion");
        }
        item
    };
    let items: Vec<Value> = items.into_iter().map(bare).collect();
    Ok(answer::json(
        200,
        &json!({"kind": format!("{}List", target.resource.kind), "apiVersion": target.resource.api_version(),
            "metadata": metadata, "items": items}),
    ))
}

/// A list at an exact version is only possible at the present one; `NotOlderThan` always is, up to it.
fn check_version(query: &Query, present: u64) -> Result<(), Refusal> {
    let wanted = match query.resource_version.as_str() {
        "" | "0" => return Ok(()),
        text => text
            .parse::<u64>()
            .map_err(|error| Refusal::new(400, format!("invalid resource version `{text}`: {error}")))?,
    };
    match query.version_match.as_str() {
        "Exact" if wanted < present => Err(Refusal::new(
            410,
            "The resourceVersion for the provided list is too old.",
        )),
        _ if wanted > present => Err(Refusal::new(
            504,
            format!("Too large resource version: {wanted}, current: {present}"),
        )),
        _ => Ok(()),
    }
}
