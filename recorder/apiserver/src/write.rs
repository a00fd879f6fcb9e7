//! What changes objects: create, update, patch, delete.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::query::Query;
use crate::read::{key, missing, selected};
use crate::resource::Target;
use crate::server::Server;
use crate::store::{Key, Store, key_of};

pub(crate) fn write(
    server: &Arc<Server>,
    verb: &str,
    target: &Target,
    query: &Query,
    content_type: &str,
    document: Value,
) -> Result<Answer, Refusal> {
    if let Some(part) = target.subresource.as_deref().filter(|part| *part != "status") {
        return Err(Refusal::new(404, format!("this server has no `{part}`")));
    }
    if query.dry_run {
        return Ok(answer::json(200, &document));
    }
    match verb {
        "create" if target.resource.plural == "selfsubjectaccessreviews" => {
            Ok(answer::json(201, &reviewed(server, document)))
        }
        "create" => {
            let object = server.change(|store| create(store, target, document))?;
            Ok(answer::json(201, &object))
        }
        "update" => {
            let object = server.change(|store| update(store, target, document))?;
            Ok(answer::json(200, &object))
        }
        "patch" => {
            let is_apply = match content_type {
                "application/apply-patch+yaml" => true,
                "application/merge-patch+json" | "application/strategic-merge-patch+json" => false,
                other => return Err(Refusal::new(415, format!("this server does not patch with `{other}`"))),
            };
            if is_apply && query.field_manager.is_empty() {
                return Err(Refusal::new(400, "an apply needs a `fieldManager`"));
            }
            let object = server.change(|store| patch(store, target, document, is_apply))?;
            Ok(answer::json(200, &object))
        }
        _ => delete(server, target, query),
    }
}

/// Whether something would be allowed: whatever no fault refuses.
fn reviewed(server: &Arc<Server>, mut review: Value) -> Value {
    let asked = &review["spec"]["resourceAttributes"];
    let [verb, resource] = [&asked["verb"], &asked["resource"]].map(|text| text.as_str().unwrap_or_default());
    let allowed = !server.faults().refuses(verb, resource);
    review["status"] = json!({"allowed": allowed});
    review
}

/// An object as the path of its request completes it.
fn placed(target: &Target, mut object: Value) -> Result<Value, Refusal> {
    if !object.is_object() {
        return Err(Refusal::new(400, "the body is no object"));
    }
    object["apiVersion"] = json!(target.resource.api_version());
    object["kind"] = json!(target.resource.kind);
    if let Some(namespace) = &target.namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(name) = &target.name {
        object["metadata"]["name"] = json!(name);
    }
    Ok(object)
}

fn create(store: &mut Store, target: &Target, document: Value) -> Result<Value, Refusal> {
    let mut object = placed(target, document)?;
    let metadata = &mut object["metadata"];
    if let (None, Some(prefix)) = (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        metadata["name"] = json!(format!("{prefix}{:05}", store.version()));
    }
    let key = key_of(&object)?;
    if store.get(&key).is_some() {
        return Err(Refusal::new(
            409,
            format!("{} \"{}\" already exists", key.0.plural, key.2),
        ));
    }
    store.put(object)
}

fn update(store: &mut Store, target: &Target, document: Value) -> Result<Value, Refusal> {
    let object = placed(target, document)?;
    let key = key(target)?;
    let before = store.get(&key).ok_or_else(|| missing(&key))?;
    check_version(&object, before, &key)?;
    store.put(object)
}

/// An update that names a version is meant for that version only.
fn check_version(object: &Value, before: &Value, key: &Key) -> Result<(), Refusal> {
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    match version(object) {
        Some(named) if !named.is_empty() && Some(&named) != version(before).as_ref() => Err(Refusal::new(
            409,
            format!("{} \"{}\": the object has been modified", key.0.plural, key.2),
        )),
        _ => Ok(()),
    }
}

fn patch(store: &mut Store, target: &Target, document: Value, is_apply: bool) -> Result<Value, Refusal> {
    let key = key(target)?;
    let before = match store.get(&key) {
        Some(before) => {
            check_version(&document, before, &key)?;
            before.clone()
        }
        None if is_apply => json!({}),
        None => return Err(missing(&key)),
    };
    let mut object = before.clone();
    merge(&mut object, document);
    let object = placed(target, object)?;
    if object == before {
        return Ok(before);
    }
    store.put(object)
}

/// RFC 7396: objects are merged, null removes, everything else replaces.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (field, value) in patch {
        if value.is_null() {
            into.as_object_mut().map(|object| object.remove(&field));
        } else {
            merge(&mut into[&field], value);
        }
    }
}

fn delete(server: &Arc<Server>, target: &Target, query: &Query) -> Result<Answer, Refusal> {
    if target.name.is_none() {
        let store = server.store();
        let items = selected(store.all(target.resource).cloned().collect::<Vec<_>>(), target, query);
        drop(store);
        let keys = items.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
        server.change(|store| {
            for key in &keys {
                store.delete(key);
            }
            Ok(())
        })?;
        let kind = format!("{}List", target.resource.kind);
        return Ok(answer::json(
            200,
            &json!({"kind": kind, "apiVersion": target.resource.api_version(), "metadata": {}, "items": items}),
        ));
    }
    let key = key(target)?;
    let object = server.change(|store| store.delete(&key).ok_or_else(|| missing(&key)))?;
    Ok(answer::json(200, &object))
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::json;

    #[test]
    fn merging_follows_the_rfc() {
        let mut object = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"});
        merge(&mut object, json!({"a": {"b": null, "c": [3]}, "e": {"f": 1}}));
        assert_eq!(object, json!({"a": {"c": [3]}, "d": "x", "e": {"f": 1}}));
    }
}
