//! Reads the field `service`: the settings of the delivery service.

use super::{
    describe::{Field, Kind, Object},
    fields::{At, FileReader},
    format::ServiceSettings,
};

pub(super) const SERVICE: Object = Object::new(&[Field::with_default(
    "30d",
    "retention",
    Kind::Duration,
    "The time for which the service keeps an entry for devices that have not read it.",
)])
.about("The settings of the delivery service.");

pub(super) fn service<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<ServiceSettings> {
    let fields = reader.described(at, &SERVICE)?;
    Some(ServiceSettings { retention: fields.duration(reader, "retention") })
}
