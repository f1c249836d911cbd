"""A vocabulary with one of everything, and any vocabulary that the types allow."""

from datetime import date

from hypothesis import strategies as st

from catalog.meaning.vocabulary import (
    Authority,
    Concept,
    EvidenceType,
    FactType,
    Procedure,
    Purpose,
    Requirement,
    Sensitivity,
    ServiceTemplate,
    TemplateInstance,
    Vocabulary,
)
from trust.ids import ClientId, ServiceId

BASE = "https://facts.example.org/"
BIRTH, TOWN, SCHOOL = f"{BASE}birth", f"{BASE}town", f"{BASE}school"
CIVIL = ClientId("EX", "GOV", "1000", "persons")
PERSON, COPY = ServiceId(CIVIL, "person"), ServiceId(CIVIL, "copy", "v1")
PUPILS = tuple(
    ServiceId(ClientId("EX", "MUN", code, "school"), "pupils") for code in ("13001", "13002")
)

EXAMPLE = Vocabulary(
    concepts=(
        Concept(
            BIRTH,
            {"en": "Date of birth", "es": "Fecha de nacimiento"},
            FactType.DATE,
            "As entered at birth",
        ),
        Concept(TOWN, {"en": "Town"}, sensitivity=Sensitivity.PUBLIC),
        Concept(SCHOOL, {"en": "School"}, identifies="urn:example:school"),
    ),
    evidence_types=(EvidenceType(f"{BASE}paper", {"en": "Birth certificate"}, (BIRTH, TOWN)),),
    requirements=(
        Requirement(f"{BASE}age", {"en": "Age"}, evidence_types=(f"{BASE}paper",)),
        Requirement(f"{BASE}pupil", {"en": "Being a pupil"}, (SCHOOL,)),
    ),
    purposes=(Purpose(f"{BASE}deciding", {"en": "Deciding"}, "Act 1, article 4"),),
    procedures=(
        Procedure(
            f"{BASE}benefit",
            {"en": "School benefit"},
            (f"{BASE}age", f"{BASE}pupil"),
            f"{BASE}deciding",
            (ClientId("EX", "MUN", "13001", "benefits"),),
        ),
    ),
    authorities=(
        Authority((BIRTH, TOWN), PERSON, (COPY,), valid_until=date(2027, 1, 1)),
        Authority((BIRTH, TOWN), COPY, valid_from=date(2027, 1, 1)),
        Authority((BIRTH,), PUPILS[0], territory="13001"),
    ),
    templates=(
        ServiceTemplate(
            f"{BASE}pupils",
            {"en": "Register of pupils"},
            (SCHOOL,),
            f"{BASE}pupils.yaml",
            (TemplateInstance(PUPILS[0], "13001"), TemplateInstance(PUPILS[1], "13002")),
            date(2026, 1, 1),
        ),
    ),
    territory_concept=TOWN,
)

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_uris = _texts.map(lambda text: BASE + text)
_labels = st.dictionaries(st.sampled_from(["en", "es", "es-GT"]), _texts, max_size=3)
_parts = st.text("ab1-ñ ", min_size=1, max_size=4).filter(str.strip)
_clients = st.builds(ClientId, _parts, _parts, _parts, _parts)
_services = st.builds(ServiceId, _clients, _parts, st.none() | _parts)
_days = st.none() | st.dates()


def _some(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=2).map(tuple)


vocabularies = st.builds(
    Vocabulary,
    _some(
        st.builds(
            Concept,
            _uris,
            _labels,
            st.sampled_from(FactType),
            _texts,
            st.sampled_from(Sensitivity),
            _texts,
        )
    ),
    _some(st.builds(EvidenceType, _uris, _labels, _some(_uris))),
    _some(st.builds(Requirement, _uris, _labels, _some(_uris), _some(_uris))),
    _some(st.builds(Purpose, _uris, _labels, _texts)),
    _some(st.builds(Procedure, _uris, _labels, _some(_uris), _uris, _some(_clients))),
    _some(st.builds(Authority, _some(_uris), _services, _some(_services), _texts, _days, _days)),
    _some(
        st.builds(
            ServiceTemplate,
            _uris,
            _labels,
            _some(_uris),
            _texts,
            _some(st.builds(TemplateInstance, _services, _texts)),
            _days,
            _days,
        )
    ),
    _uris | st.just(""),
)
