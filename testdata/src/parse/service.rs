//! Lines that declare Services.

use super::words::Cursor;
use super::{Reader, value};
use crate::model::{Service, ServiceTraffic};
use crate::problem::Problem;

impl Reader {
    /// Reads `service NAMESPACE/NAME ADDRESSES|headless|external-name HOST ...`.
    pub(super) fn service(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        cursor.skip();
        let mut service = Service {
            line: cursor.line(),
            name: cursor.read(&value::NAME)?,
            addresses: Vec::new(),
            selects: None,
            endpoints: Vec::new(),
            ports: Vec::new(),
            load_balancer: Vec::new(),
            balanced_by_proxy: false,
            source_ranges: Vec::new(),
            external_ips: Vec::new(),
            external_name: None,
            external_traffic: ServiceTraffic::Cluster,
            affinity: false,
        };
        if cursor.accept("external-name") {
            service.external_name = Some(cursor.read(&value::HOST)?);
        } else if !cursor.accept("headless") {
            service.addresses = cursor.peek().and_then(value::ADDRESSES.read).ok_or_else(|| {
                cursor.expected("cluster addresses such as `10.96.0.20,fd00:10:96::20`, `headless` or `external-name`")
            })?;
            cursor.skip();
        }
        let known = "`selects`, `endpoints`, `ports`, `load-balancer`, `proxied`, `source-ranges`, `external-ips`, \
                     `local` or `affinity`";
        cursor.clauses(known, &mut self.problems, |word, cursor| {
            match word {
                "selects" => service.selects = Some(cursor.read(&value::LABELS)?),
                "endpoints" => service.endpoints = cursor.read(&value::ADDRESSES)?,
                "ports" => service.ports = cursor.read(&value::SERVICE_PORTS)?,
                "load-balancer" => service.load_balancer = cursor.read(&value::ADDRESSES)?,
                "proxied" => service.balanced_by_proxy = true,
                "source-ranges" => service.source_ranges = cursor.read(&value::CIDRS)?,
                "external-ips" => service.external_ips = cursor.read(&value::ADDRESSES)?,
                "local" => service.external_traffic = ServiceTraffic::Local,
                "affinity" => service.affinity = true,
                _ => return Ok(false),
            }
            Ok(true)
        });
        self.namespace(cursor.line(), &service.name.namespace);
        self.scenario.services.push(service);
        Ok(())
    }
}
