"""The dependency descriptor, read as a receiver reads it (AV1 RTP specification, appendix A).

A second implementation, in other words than the node's: the tests compare what the two make of the same packets.
"""

from dataclasses import dataclass, field

MORE_TEMPLATES = 64


class Malformed(ValueError):
    """The descriptor ends early, or names a template that nobody has told of."""


class Bits:
    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """Raises Malformed when there are no more."""
        if count > self.left:
            raise Malformed("the descriptor ends early")
        self.left -= count
        return self.value >> self.left & ((1 << count) - 1)

    def non_symmetric(self, values: int) -> int:
        """One of `values`, in as few bits as that takes (§A.8.2, ns(n))."""
        width = values.bit_length()
        short = (1 << width) - values
        value = self.take(width - 1)
        return value if value < short else (value << 1) + self.take(1) - short


@dataclass
class Template:
    spatial: int
    temporal: int
    indications: list[int] = field(
        default_factory=list
    )  # a decode target each: 0 not present, 1 discardable, 2 switch, 3 required
    differences: list[int] = field(default_factory=list)
    chains: list[int] = field(default_factory=list)


@dataclass
class Structure:
    offset: int
    targets: int
    chains: int
    templates: list[Template]
    resolutions: list[tuple[int, int]]


@dataclass(frozen=True)
class Dependencies:
    """One packet's descriptor, with its template filled in."""

    begins: bool
    ends: bool
    frame: int  # 16 bits
    spatial: int
    temporal: int
    differences: tuple[int, ...]  # from this frame number to those it refers to
    indications: tuple[int, ...]
    brings_structure: bool
    active_targets: int | None


class Reader:
    """Of one stream: remembers the newest structure."""

    def __init__(self) -> None:
        self.structure: Structure | None = None

    def read(self, data: bytes) -> Dependencies:
        """Raises Malformed."""
        bits = Bits(data)
        begins, ends = bool(bits.take(1)), bool(bits.take(1))
        template_id, frame = bits.take(6), bits.take(16)
        brings = has_active = custom_indications = custom_differences = custom_chains = False
        active: int | None = None
        if len(data) > 3:
            brings, has_active, custom_indications, custom_differences, custom_chains = (
                bool(bits.take(1)) for _ in range(5)
            )
            if brings:
                self.structure = structure(bits)
        if self.structure is None:
            raise Malformed("no structure yet")
        if has_active:
            active = bits.take(self.structure.targets)
        index = (template_id - self.structure.offset) % MORE_TEMPLATES
        if index >= len(self.structure.templates):
            raise Malformed(f"no template {template_id}")
        template = self.structure.templates[index]
        indications, differences = template.indications, template.differences
        if custom_indications:
            indications = [bits.take(2) for _ in range(self.structure.targets)]
        if custom_differences:
            differences = []
            while size := bits.take(2):
                differences.append(bits.take(4 * size) + 1)
        if custom_chains:
            bits.take(8 * self.structure.chains)
        return Dependencies(
            begins,
            ends,
            frame,
            template.spatial,
            template.temporal,
            tuple(differences),
            tuple(indications),
            brings,
            active,
        )


def structure(bits: Bits) -> Structure:
    """§A.8.2, template_dependency_structure()."""
    offset, targets = bits.take(6), bits.take(5) + 1
    templates = list[Template]()
    spatial = temporal = 0
    while len(templates) < MORE_TEMPLATES:
        templates.append(Template(spatial, temporal))
        step = bits.take(2)
        if step == 3:
            break
        if step == 1:
            temporal += 1
        elif step == 2:
            spatial, temporal = spatial + 1, 0
    for template in templates:
        template.indications = [bits.take(2) for _ in range(targets)]
    for template in templates:
        while bits.take(1):
            template.differences.append(bits.take(4) + 1)
    chains = bits.non_symmetric(targets + 1)
    if chains:
        for _ in range(targets):
            bits.non_symmetric(chains)
        for template in templates:
            template.chains = [bits.take(4) for _ in range(chains)]
    resolutions = []
    if bits.take(1):
        resolutions = [(bits.take(16) + 1, bits.take(16) + 1) for _ in range(spatial + 1)]
    return Structure(offset, targets, chains, templates, resolutions)
