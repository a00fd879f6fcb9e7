//! A server as a process, from the side of a test.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::{Effect, Fault};

/// How long an order may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The process could not be started or reached.
    #[error("the API server cannot be reached")]
    Io(#[from] io::Error),
    /// It answered something else than done.
    #[error("the API server answered `{0}`")]
    Refused(String),
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub struct ApiServer {
    child: Child,
    address: String,
    program: fn() -> Command,
    home: tempfile::TempDir,
}

impl ApiServer {
    /// Starts a server. `program` gives the command that runs [`crate::cli::run`].
    pub fn start(program: fn() -> Command) -> Result<Self, OrderError> {
        let home = tempfile::tempdir()?;
        let (child, address) = spawn(program, home.path(), "0")?;
        Ok(Self {
            child,
            address,
            program,
            home,
        })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that leads to it.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    /// Kills the process; its objects stay for [`Self::restart`].
    pub fn kill(&mut self) -> Result<(), OrderError> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on the same port, with the objects it had.
    pub fn restart(&mut self) -> Result<(), OrderError> {
        self.kill()?;
        let port = self.address.rsplit(':').next().unwrap_or_default().to_owned();
        (self.child, self.address) = spawn(self.program, self.home.path(), &port)?;
        Ok(())
    }

    /// Stores objects as they are; gives their resource versions.
    pub fn apply(&self, objects: &[Value]) -> Result<Vec<String>, OrderError> {
        let versions = self.order("apply", &json!(objects))?;
        Ok(serde_json::from_value(versions).map_err(io::Error::from)?)
    }

    /// Removes objects, which need to be given only so far as to find them.
    pub fn delete(&self, objects: &[Value]) -> Result<(), OrderError> {
        self.order("delete", &json!(objects)).map(drop)
    }

    /// Makes the next `times` requests go wrong; `None` for all that come.
    pub fn fault(&self, verb: &str, resource: &str, times: Option<u32>, effect: Effect) -> Result<(), OrderError> {
        self.fault_after(0, verb, resource, times, effect)
    }

    /// The same, once `after` requests have passed.
    pub fn fault_after(
        &self,
        after: u32,
        verb: &str,
        resource: &str,
        times: Option<u32>,
        effect: Effect,
    ) -> Result<(), OrderError> {
        let fault = Fault {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            after,
            times,
            effect,
        };
        self.order("fault", &json!(fault)).map(drop)
    }

    /// Gives an order without a document: `mend`, `compact`, `bookmark`, `break`; or asks for `watches`, `requests`, `objects`.
    pub fn tell(&self, order: &str) -> Result<Value, OrderError> {
        self.order(order, &Value::Null)
    }

    /// How many watches of a resource are open.
    pub fn open_watches(&self, plural: &str) -> Result<u64, OrderError> {
        Ok(self.tell("watches")?[plural].as_u64().unwrap_or(0))
    }

    fn order(&self, order: &str, document: &Value) -> Result<Value, OrderError> {
        let body = document.to_string();
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST /control/{order} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => {
                Ok(serde_json::from_str(body).map_err(io::Error::from)?)
            }
            _ => Err(OrderError::Refused(answer)),
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Nobody is left to tell; a process that cannot be killed has ended.
        let _ = self.kill();
    }
}

fn spawn(program: fn() -> Command, home: &Path, port: &str) -> Result<(Child, String), OrderError> {
    let mut child = program()
        .arg("--port")
        .arg(port)
        .arg("--state")
        .arg(home.join("state.json"))
        .arg("--kubeconfig")
        .arg(home.join("kubeconfig"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if let Some(address) = line.trim().strip_prefix("http://") {
        return Ok((child, address.to_owned()));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(OrderError::Refused(line))
}
