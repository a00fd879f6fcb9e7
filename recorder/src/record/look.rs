//! Looks at the sockets that are open while the window lasts.

use super::Session;
use super::open::Looked;
use crate::clock;
use crate::kernel::error::KernelError;
use crate::kernel::open::{Look, OpenSockets};
use crate::output;

impl Session {
    /// Looks at the sockets that processes hold, reading events meanwhile; what that says is known after the next drain. A look that
    /// fails takes nothing from what is counted: the window goes on, and is incomplete.
    pub(super) fn look_at_sockets(&mut self) -> anyhow::Result<()> {
        let at_ns = clock::now()?.0;
        match self.open_sockets()? {
            Ok(None) => {}
            Ok(Some(sockets)) => {
                let looked = Looked {
                    at_ns,
                    is_first: false,
                    sockets,
                    samples: self.limits.connections,
                };
                self.collector.looked(looked, &mut self.surroundings);
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                output::warn(format_args!("{error:#}; the recording goes on and is incomplete"));
                self.collector.look_failed(at_ns);
                self.failed_looks += 1;
            }
        }
        Ok(())
    }

    /// The sockets that processes hold, `None` where the kernel shows none. The inner error is that of the look.
    fn open_sockets(&mut self) -> anyhow::Result<Result<Option<OpenSockets>, KernelError>> {
        let mut reader = match self.kernel.look_at_sockets() {
            Ok(Some(reader)) => reader,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let mut sockets = OpenSockets::default();
        loop {
            match reader.read(Look::After, &mut sockets) {
                Ok(true) => self.poll()?,
                Ok(false) => return Ok(Ok(Some(sockets))),
                Err(error) => return Ok(Err(error)),
            };
        }
    }
}
