//! Congestion control for real-time media, sans-IO: time, sent packets and feedback in; a rate and probes out.
//!
//! - [`Estimator`], on the side that sends: how much the path carries.
//! - [`Pacer`], beside it: when the next packet may leave.
//! - [`Arrivals`], on the side that receives: the feedback that the sender's estimator lives on.
//!
//! After "Google Congestion Control" (draft-ietf-rmcat-gcc-02; Carlucci, De Cicco, Holmer, Mascolo: "Analysis and Design of the
//! Google Congestion Control for Web Real-time Communication", ACM MMSys 2016) with its controller at the sender, fed by
//! transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
#![forbid(unsafe_code)]

mod acknowledged;
mod arrivals;
mod bitrate;
mod clusters;
mod delay;
mod estimator;
mod feedback;
mod groups;
mod history;
mod limited;
mod loss;
mod pacer;
mod prober;
mod rate_control;

pub use arrivals::Arrivals;
pub use bitrate::Bitrate;
pub use clusters::{Probe, ProbeId};
pub use estimator::Estimator;
pub use feedback::{Feedback, Malformed, Report};
pub use pacer::Pacer;
