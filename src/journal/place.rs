//! Where a call belongs, between the domain and the bytes. The names stay numbers here.

use super::codec::CodecError;
use super::{fields, pb};
use crate::domain::event::{NewCall, Place};
use crate::domain::names::{LabelsId, NameId};
use crate::domain::time::UnixMillis;

/// A place as stored.
pub(super) fn stored(place: &Place) -> pb::Place {
    let other = |(kind, text): &(_, String)| pb::OtherName { kind: fields::kind_number(*kind), text: text.clone() };
    pb::Place {
        task: place.task.0,
        candidate: place.candidate.0,
        workflow: place.workflow.0,
        step: place.step.0,
        tool: place.tool.0,
        labels: place.labels.0,
        goal: place.goal.clone(),
        step_key: place.step_key,
        other_names: place.other_names.iter().map(other).collect(),
        other_labels: place.other_labels.as_ref().map(fields::labels_of),
    }
}

/// A place as read.
pub(super) fn read(stored: pb::Place) -> Result<Place, CodecError> {
    let other = |o: pb::OtherName| Ok((fields::kind(o.kind)?, o.text));
    Ok(Place {
        task: NameId(stored.task),
        candidate: NameId(stored.candidate),
        workflow: NameId(stored.workflow),
        step: NameId(stored.step),
        tool: NameId(stored.tool),
        labels: LabelsId(stored.labels),
        goal: stored.goal,
        step_key: stored.step_key,
        other_names: stored.other_names.into_iter().map(other).collect::<Result<_, CodecError>>()?,
        other_labels: stored.other_labels.map(|l| l.pairs),
    })
}

/// A call placed by its outcome, as stored.
pub(super) fn stored_new(at: UnixMillis, new: &NewCall) -> pb::NewCall {
    pb::NewCall {
        placed_after_ms: new.at.0.wrapping_sub(at.0),
        place: Some(stored(&new.place)),
        traits: fields::traits_number(new.traits),
        stratum: new.traits.stratum.0,
        decided: new.decided,
        lost: new.lost.map(|c| c.0),
    }
}

/// A call placed by its outcome, as read.
pub(super) fn read_new(at: UnixMillis, stored: pb::NewCall) -> Result<NewCall, CodecError> {
    Ok(NewCall {
        at: UnixMillis(at.0.wrapping_add(stored.placed_after_ms)),
        place: read(fields::required("place", stored.place)?)?,
        traits: fields::traits(stored.traits, stored.stratum)?,
        decided: stored.decided,
        lost: stored.lost.map(NameId),
    })
}
