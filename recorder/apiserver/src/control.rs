//! Orders of a test, under `/control/`: objects as they are, faults, and what the server has seen.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use serde_json::{Value, json};

use crate::answer::{self, Answer, Refusal};
use crate::fault::Fault;
use crate::server::{Server, document};
use crate::store::key_of;

pub(crate) async fn order(
    State(server): State<Arc<Server>>,
    Path(order): Path<String>,
    request: Request,
) -> Result<Answer, Infallible> {
    let done = match document(request.into_body()).await {
        Ok(document) => obey(&server, &order, document),
        Err(refusal) => Err(refusal),
    };
    Ok(match done {
        Ok(document) => answer::json(200, &document),
        Err(refusal) => refusal.answer(),
    })
}

fn obey(server: &Arc<Server>, order: &str, document: Value) -> Result<Value, Refusal> {
    match order {
        // Objects go in as they are, `status` included: a test plays the controllers and the kubelets.
        "apply" => server.change(|store| {
            let mut versions = Vec::new();
            for object in objects(document) {
                versions.push(store.put(object)?["metadata"]["resourceVersion"].clone());
            }
            Ok(json!(versions))
        }),
        "delete" => server.change(|store| {
            let mut deleted = 0;
            for object in objects(document) {
                deleted += u32::from(store.delete(&key_of(&object)?).is_some());
            }
            Ok(json!(deleted))
        }),
        "fault" => {
            let refused = |error| Refusal::new(400, format!("no fault: {error}"));
            let fault: Fault = serde_json::from_value(document).map_err(refused)?;
            server.faults().add(fault);
            Ok(Value::Null)
        }
        "mend" => {
            server.faults().clear();
            Ok(Value::Null)
        }
        "compact" => server.change(|store| {
            store.compact();
            Ok(Value::Null)
        }),
        "bookmark" => {
            server.signals.send_modify(|signals| signals.bookmarks += 1);
            Ok(Value::Null)
        }
        "break" => {
            server.signals.send_modify(|signals| signals.breaks += 1);
            Ok(Value::Null)
        }
        "objects" => Ok(json!(server.store().everything().collect::<Vec<_>>())),
        "watches" => Ok(json!(server.open_watches())),
        "requests" => Ok(json!(server.seen())),
        other => Err(Refusal::new(404, format!("no order is called `{other}`"))),
    }
}

/// One object, or several.
fn objects(document: Value) -> Vec<Value> {
    if let Value::Array(objects) = document {
        return objects;
    }
    vec![document]
}
