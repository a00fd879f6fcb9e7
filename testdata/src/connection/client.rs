//! Who opens a connection.

use std::net::IpAddr;

use super::{Question, Socket};
use crate::layout::Pod;
use crate::model::{Client, WorkloadRef};

impl Question<'_> {
    /// The client's address, and whose socket it is.
    pub(super) fn client(&self) -> Result<(IpAddr, Option<Socket>), String> {
        match &self.traffic.client {
            Client::Workload(workload) => {
                let (place, pod) = self.pod_of(workload, self.nth)?;
                let address = self.family(&pod.addresses, &format!("pod `{}/{}`", pod.namespace, pod.name))?;
                let socket = Socket {
                    node: pod.node,
                    pod: Some(place),
                };
                Ok((address, Some(socket)))
            }
            Client::Node(name) => {
                let node = self.node_named(name)?;
                let address = self.family(&self.scenario.nodes[node].addresses, &format!("node `{name}`"))?;
                Ok((address, Some(Socket { node, pod: None })))
            }
            Client::External(address) => {
                self.declared_external(*address)?;
                Ok((*address, None))
            }
            Client::Address(address) => Ok((*address, None)),
        }
    }

    /// The workload that is meant: its place in the scenario.
    fn workload(&self, reference: &WorkloadRef) -> Result<usize, String> {
        let mut found = self.scenario.workloads.iter().enumerate().filter(|(_, workload)| {
            workload.name == reference.name && reference.kind.is_none_or(|kind| kind == workload.kind)
        });
        let Some((place, _)) = found.next() else {
            return Err(format!("workload `{reference}` is not declared"));
        };
        if let Some((_, other)) = found.next() {
            let other = other.kind.word();
            return Err(format!(
                "`{reference}` is ambiguous: put the kind before it, for example `{other} {reference}`"
            ));
        }
        Ok(place)
    }

    /// A pod of a workload that is alive at the instant, by turns.
    pub(super) fn pod_of<'a>(&'a self, reference: &'a WorkloadRef, turn: u32) -> Result<(usize, &'a Pod), String> {
        self.workload(reference)?;
        let pods = self.pods_alive(reference);
        Self::in_turn(turn, &pods)
            .copied()
            .ok_or_else(|| format!("`{reference}` has no pod at {}", self.at))
    }

    /// Pods of a workload that are alive at the instant.
    fn pods_alive<'a>(&'a self, reference: &'a WorkloadRef) -> Vec<(usize, &'a Pod)> {
        self.layout.pods_of(self.scenario, reference, self.at).collect()
    }

    /// Whose turn it is among several servers: each client goes through all of them.
    pub(super) fn server_turn(&self) -> u32 {
        if let Some(turn) = self.turn {
            return turn;
        }
        let clients = match &self.traffic.client {
            Client::Workload(workload) => self.pods_alive(workload).len(),
            Client::Node(_) | Client::External(_) | Client::Address(_) => 1,
        };
        self.nth / u32::try_from(clients).unwrap_or(u32::MAX).max(1)
    }

    /// A declared node.
    pub(super) fn node_named(&self, name: &str) -> Result<usize, String> {
        let found = self.scenario.nodes.iter().position(|node| node.name == name);
        found.ok_or_else(|| format!("node `{name}` is not declared"))
    }

    /// Demands that an address outside the cluster is declared.
    pub(super) fn declared_external(&self, address: IpAddr) -> Result<(), String> {
        if self
            .scenario
            .externals
            .iter()
            .any(|external| external.address == address)
        {
            return Ok(());
        }
        Err(format!(
            "external `{address}` is not declared; use `address` for what nobody knows"
        ))
    }
}
