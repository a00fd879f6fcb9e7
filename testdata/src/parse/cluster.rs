//! Lines of the cluster section, Services apart.

use super::words::Cursor;
use super::{Reader, value};
use crate::model::{CgroupDriver, Cidr, External, Kind, Metadata, Name, Node, Offset, Policy, Replica, Workload};
use crate::problem::Problem;

/// A policy whose text is still being read.
pub(super) struct PolicyText {
    line: usize,
    name: Name,
    yaml: String,
}

impl PolicyText {
    /// Adds a line, given without its `|`.
    pub(super) fn push(&mut self, line: &str) {
        self.yaml.push_str(line);
        self.yaml.push('\n');
    }
}

/// Everything a line of the cluster section may start with.
const STATEMENTS: &str = "`node`, `namespace`, `deployment`, `statefulset`, `daemonset`, `job`, `cronjob`, `pod`, \
                          `static-pod`, `replica`, `service`, `external`, `metadata` or `policy`";

impl Reader {
    /// Reads a line of the cluster section.
    pub(super) fn cluster(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        let word = cursor.peek().unwrap_or_default();
        if let Some(kind) = kind(word) {
            cursor.skip();
            return self.workload(kind, cursor);
        }
        match word {
            "node" => self.node(cursor),
            "namespace" => self.declared_namespace(cursor),
            "replica" => self.replica(cursor),
            "service" => self.service(cursor),
            "external" => self.external(cursor),
            "metadata" => self.metadata(cursor),
            "policy" => self.policy(cursor),
            _ => Err(cursor.expected(STATEMENTS)),
        }
    }

    fn node(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let mut node = Node {
            line: cursor.line(),
            name: cursor.read(&value::HOST)?,
            addresses: vec![cursor.read(&value::ADDRESS)?],
            pods: Vec::new(),
            labels: crate::model::Labels::new(),
            cgroups: CgroupDriver::Cgroupfs,
            recorded: true,
            random_ports: false,
            clock: Offset(0),
            clean_stop: true,
        };
        if let Some(second) = cursor.peek().and_then(value::address) {
            cursor.skip();
            node.addresses.push(second);
        }
        let known = "`pods`, `labels`, `cgroups`, `clock`, `unclean`, `random-ports` or `unrecorded`";
        cursor.clauses(known, &mut self.problems, |word, cursor| {
            match word {
                "pods" => node.pods = ranges(cursor)?,
                "labels" => node.labels = cursor.read(&value::LABELS)?,
                "cgroups" => node.cgroups = driver(cursor)?,
                "clock" => node.clock = cursor.read(&value::OFFSET)?,
                "unclean" => node.clean_stop = false,
                "random-ports" => node.random_ports = true,
                "unrecorded" => node.recorded = false,
                _ => return Ok(false),
            }
            Ok(true)
        });
        self.scenario.nodes.push(node);
        Ok(())
    }

    fn declared_namespace(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let name = cursor.read(&value::LABEL)?;
        let mut labels = None;
        cursor.clauses("`labels`", &mut self.problems, |word, cursor| {
            if word != "labels" {
                return Ok(false);
            }
            labels = Some(cursor.read(&value::LABELS)?);
            Ok(true)
        });
        self.namespace(cursor.line(), &name);
        let declared = self
            .scenario
            .namespaces
            .iter_mut()
            .find(|namespace| namespace.name == name);
        if let (Some(declared), Some(labels)) = (declared, labels) {
            declared.labels = labels;
        }
        Ok(())
    }

    fn workload(&mut self, kind: Kind, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        let name = cursor.read(&value::NAME)?;
        let line = cursor.line();
        let mut workload = Workload {
            line,
            kind,
            labels: std::iter::once(("app".to_owned(), name.name.clone())).collect(),
            name,
            custom: None,
            listed: true,
            owner: None,
            replicas: 1,
            nodes: Vec::new(),
            selects: crate::model::Labels::new(),
            ports: Vec::new(),
            probes: Vec::new(),
            host_network: false,
            answers: Vec::new(),
            proxy: None,
            account: "default".to_owned(),
            runs: Vec::new(),
            defaults: Replica {
                line,
                ..Replica::default()
            },
            overrides: Vec::new(),
        };
        let mut selects = None;
        let known = "`replicas`, `on`, `labels`, `selects`, `ports`, `probes`, `host-network`, `answers`, \
                     `proxy`, `account`, `runs`, `kind`, `owner`, `unlisted`, `revision`, `address`, `from` or `to`";
        cursor.clauses(known, &mut self.problems, |word, cursor| {
            match word {
                "replicas" => workload.replicas = cursor.read(&value::COUNT)?,
                "on" => workload.nodes = cursor.read(&value::HOSTS)?,
                "labels" => workload.labels = cursor.read(&value::LABELS)?,
                "selects" => selects = Some(cursor.read(&value::LABELS)?),
                "ports" => workload.ports = cursor.read(&value::CONTAINER_PORTS)?,
                "probes" => workload.probes = cursor.read(&value::PROBES)?,
                "host-network" => workload.host_network = true,
                "proxy" => {
                    let mut proxy = cursor.read(&value::PROXY)?;
                    if cursor.accept("by") {
                        proxy.by = Some(cursor.read(&value::NAME)?);
                    }
                    workload.proxy = Some(proxy);
                }
                "answers" => workload.answers = cursor.read(&value::ADDRESSES)?,
                "account" => workload.account = cursor.read(&value::HOST)?,
                "kind" => workload.custom = Some(cursor.read(&value::CUSTOM_KIND)?),
                "owner" => workload.owner = Some(cursor.read(&value::OWNER)?),
                "unlisted" => workload.listed = false,
                "runs" => workload.runs = cursor.read(&value::SPANS)?,
                _ => return replica_clause(&mut workload.defaults, word, cursor),
            }
            Ok(true)
        });
        workload.selects = selects.unwrap_or_else(|| workload.labels.clone());
        self.namespace(line, &workload.name.namespace);
        self.scenario.workloads.push(workload);
        Ok(())
    }

    fn replica(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let kind = cursor.peek().and_then(kind);
        if kind.is_some() {
            cursor.skip();
        }
        let (name, place) = cursor.read(&value::REPLICA)?;
        let missing = cursor.wrong(format!("expected a workload declared above, found `{name}`"));
        let mut replica = Replica {
            line: cursor.line(),
            ..Replica::default()
        };
        let known = "`on`, `labels`, `revision`, `address`, `from` or `to`";
        cursor.clauses(known, &mut self.problems, |word, cursor| match word {
            "on" => {
                replica.node = Some(cursor.read(&value::HOST)?);
                Ok(true)
            }
            "labels" => {
                replica.labels = cursor.read(&value::LABELS)?;
                Ok(true)
            }
            _ => replica_clause(&mut replica, word, cursor),
        });
        let found = |workload: &&mut Workload| workload.name == name && kind.is_none_or(|kind| kind == workload.kind);
        let workload = self.scenario.workloads.iter_mut().rev().find(found).ok_or(missing)?;
        workload.overrides.push((place, replica));
        Ok(())
    }

    fn external(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let mut external = External {
            line: cursor.line(),
            address: cursor.read(&value::ADDRESS)?,
            name: None,
        };
        cursor.clauses("`name`", &mut self.problems, |word, cursor| {
            if word != "name" {
                return Ok(false);
            }
            external.name = Some(cursor.read(&value::HOST)?);
            Ok(true)
        });
        self.scenario.externals.push(external);
        Ok(())
    }

    fn metadata(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        if self.scenario.metadata.line > 0 {
            return Err(cursor.expected("`metadata` only once"));
        }
        cursor.skip();
        let mut metadata = Metadata {
            line: cursor.line(),
            ..Metadata::default()
        };
        cursor.clauses("`snapshots` or `late`", &mut self.problems, |word, cursor| {
            match word {
                "snapshots" => metadata.snapshots = cursor.read(&value::OFFSETS)?,
                "late" => metadata.late = cursor.read(&value::OFFSET)?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        metadata.snapshots.sort_unstable();
        self.scenario.metadata = metadata;
        Ok(())
    }

    fn policy(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let name = cursor.read(&value::NAME)?;
        cursor.end()?;
        self.namespace(cursor.line(), &name.namespace);
        self.policy = Some(PolicyText {
            line: cursor.line(),
            name,
            yaml: String::new(),
        });
        Ok(())
    }

    /// Reads the collected lines of a policy, if one was being read.
    pub(super) fn end_policy(&mut self) {
        let Some(PolicyText { line, name, yaml }) = self.policy.take() else {
            return;
        };
        let message = match serde_yaml::from_str::<serde_json::Value>(&yaml) {
            Ok(spec) if spec.is_object() => {
                self.scenario.policies.push(Policy { line, name, spec });
                return;
            }
            Ok(_) => "expected the `spec` of a NetworkPolicy on lines that start with `|`".to_owned(),
            Err(error) => format!("the policy's lines are not YAML: {error}"),
        };
        self.problems.push(Problem {
            line,
            column: 1,
            message,
        });
    }
}

/// Reads a setting that all pods of a workload or a single one may have.
fn replica_clause(replica: &mut Replica, word: &str, cursor: &mut Cursor<'_>) -> Result<bool, Problem> {
    match word {
        "revision" => replica.revision = Some(cursor.read(&value::COUNT)?),
        "address" => replica.addresses = cursor.read(&value::ADDRESSES)?,
        "from" => replica.from = Some(cursor.read(&value::OFFSET)?),
        "to" => replica.to = Some(cursor.read(&value::OFFSET)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The kind that a word declares.
pub(super) fn kind(word: &str) -> Option<Kind> {
    [
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Job,
        Kind::CronJob,
        Kind::Pod,
        Kind::StaticPod,
    ]
    .into_iter()
    .find(|kind| kind.word() == word)
}

/// One or two address ranges.
fn ranges(cursor: &mut Cursor<'_>) -> Result<Vec<Cidr>, Problem> {
    let mut ranges = vec![cursor.read(&value::CIDR)?];
    if let Some(second) = cursor.peek().and_then(value::CIDR.read) {
        cursor.skip();
        ranges.push(second);
    }
    Ok(ranges)
}

fn driver(cursor: &mut Cursor<'_>) -> Result<CgroupDriver, Problem> {
    if cursor.accept("cgroupfs") {
        return Ok(CgroupDriver::Cgroupfs);
    }
    if cursor.accept("systemd") {
        return Ok(CgroupDriver::Systemd);
    }
    let problem = cursor.expected("`cgroupfs` or `systemd`");
    cursor.skip();
    Err(problem)
}
