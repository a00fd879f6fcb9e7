//! The protocol as a client sees it, byte by byte.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use flowtape_apiserver::fault::Effect;
use flowtape_apiserver::process::ApiServer;
use serde_json::{Value, json};

fn server() -> ApiServer {
    ApiServer::start(|| Command::new(env!("CARGO_BIN_EXE_flowtape-apiserver"))).unwrap()
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}})
}

fn send(server: &ApiServer, method: &str, path: &str, content_type: &str, body: &str) -> BufReader<TcpStream> {
    let address = server.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    BufReader::new(stream)
}

/// Status line and headers, up to the empty line.
fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head
}

fn ask(server: &ApiServer, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = send(server, method, path, "application/json", body);
    let code = head(&mut stream)[9..12].parse().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (code, serde_json::from_str(&text).unwrap())
}

/// The next line of a watch; its chunks are lines of their own, so lengths and empty lines are passed over.
fn event(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line) {
            return Some(event);
        }
    }
}

fn said(event: &Value) -> (String, String) {
    let text = |pointer: &str| {
        event
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    (text("/type"), text("/object/metadata/name"))
}

#[test]
fn objects_are_made_read_changed_and_removed() {
    let server = server();
    let pods = "/api/v1/namespaces/shop/pods";
    let (code, made) = ask(&server, "POST", pods, &pod("web").to_string());
    assert_eq!((code, made["metadata"]["resourceVersion"].as_str()), (201, Some("1")));
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["creationTimestamp"].is_string());
    assert_eq!(
        ask(&server, "POST", pods, &pod("web").to_string()).1["reason"],
        "AlreadyExists"
    );

    let mut stale = made.clone();
    let path = format!("{pods}/web");
    assert_eq!(ask(&server, "PUT", &path, &made.to_string()).0, 200);
    stale["spec"]["nodeName"] = json!("n2");
    assert_eq!(ask(&server, "PUT", &path, &stale.to_string()).1["reason"], "Conflict");

    let mut applied = send(
        &server,
        "PATCH",
        &format!("{path}?fieldManager=test"),
        "application/apply-patch+yaml",
        r#"{"metadata": {"labels": {"tier": "front"}}}"#,
    );
    assert!(head(&mut applied).starts_with("HTTP/1.1 200"));
    let (_, now) = ask(&server, "GET", &path, "");
    assert_eq!(now["metadata"]["labels"], json!({"app": "web", "tier": "front"}));
    assert_eq!(now["metadata"]["uid"], made["metadata"]["uid"]);

    assert_eq!(ask(&server, "DELETE", &path, "").0, 200);
    assert_eq!(ask(&server, "GET", &path, "").1["reason"], "NotFound");
}

#[test]
fn a_list_comes_in_pages_of_one_version() {
    let server = server();
    server.apply(&[pod("a"), pod("b"), pod("c")]).unwrap();
    let (_, first) = ask(&server, "GET", "/api/v1/pods?limit=2", "");
    assert_eq!(
        (first["kind"].as_str(), first["items"].as_array().unwrap().len()),
        (Some("PodList"), 2)
    );
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    server.apply(&[pod("d")]).unwrap();
    let next = format!(
        "/api/v1/pods?limit=2&continue={}",
        first["metadata"]["continue"].as_str().unwrap()
    );
    let (_, second) = ask(&server, "GET", &next, "");
    assert_eq!(second["items"].as_array().unwrap().len(), 1, "the fourth came later");
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert_eq!(ask(&server, "GET", &next, "").0, 410);
    let (_, selected) = ask(&server, "GET", "/api/v1/pods?labelSelector=app%3Db", "");
    assert_eq!(selected["items"][0]["metadata"]["name"], "b");
}

#[test]
fn a_watch_tells_every_change_once_and_in_order() {
    let mut server = server();
    server.apply(&[pod("a")]).unwrap();
    let mut watch = send(
        &server,
        "GET",
        "/api/v1/pods?watch=1&resourceVersion=1&allowWatchBookmarks=true",
        "",
        "",
    );
    assert!(head(&mut watch).starts_with("HTTP/1.1 200"));
    server.apply(&[pod("b"), pod("a")]).unwrap();
    server.delete(&[pod("a")]).unwrap();
    let events: Vec<_> = (0..3).map(|_| said(&event(&mut watch).unwrap())).collect();
    let expected = [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")];
    assert_eq!(events, expected.map(|(word, name)| (word.to_owned(), name.to_owned())));
    server.tell("bookmark").unwrap();
    assert_eq!(event(&mut watch).unwrap()["object"]["metadata"]["resourceVersion"], "4");

    server.restart().unwrap();
    assert_eq!(event(&mut watch), None, "the process is another one");
    let mut again = send(&server, "GET", "/api/v1/pods?watch=1&resourceVersion=3", "", "");
    assert_eq!(
        said(&event(&mut again).unwrap()).0,
        "DELETED",
        "objects and history outlive it"
    );
}

#[test]
fn faults_come_as_ordered() {
    let server = server();
    server.apply(&[pod("a")]).unwrap();
    let busy = Effect::Refuse {
        code: 429,
        retry_after: Some(7),
    };
    server.fault("list", "pods", Some(1), busy).unwrap();
    let refused = head(&mut send(&server, "GET", "/api/v1/pods", "", ""));
    assert!(
        refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 7"),
        "{refused}"
    );
    assert_eq!(ask(&server, "GET", "/api/v1/pods", "").0, 200);

    server.tell("compact").unwrap();
    let mut expired = send(&server, "GET", "/api/v1/pods?watch=1&resourceVersion=0", "", "");
    assert_eq!(said(&event(&mut expired).unwrap()).0, "ADDED", "from the present state");
    let mut old = send(&server, "GET", "/api/v1/services?watch=1&resourceVersion=0", "", "");
    server
        .fault("watch", "pods", Some(1), Effect::ErrorEvent { code: 410 })
        .unwrap();
    let mut gone = send(&server, "GET", "/api/v1/pods?watch=1", "", "");
    assert_eq!(event(&mut gone).unwrap()["object"]["reason"], "Expired");
    assert_eq!(event(&mut gone), None);

    server.tell("break").unwrap();
    assert_eq!(event(&mut old), None);
    let mut rest = Vec::new();
    let cut = expired.read_to_end(&mut rest);
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("{\"type\":\"ADDED\",\"obj"), "{text}");
    assert!(
        cut.is_err() || !text.contains("0\r\n\r\n"),
        "the stream has no proper end: {text}"
    );
}
