"""Which hosts the lab has and where they are: pure data, nothing here touches the machine."""

from dataclasses import dataclass

from .tools import LabError

NETWORK = "198.51.100."
PREFIX = 24
# The bridge: the place of clients outside, and of the mirror that hosts download from.
CLIENT = NETWORK + "1"
MIRROR = f"http://{CLIENT}:8080"
MASTER = "salt"
VIPS = {"test": NETWORK + "40", "test2": NETWORK + "41"}
# More clusters than this have no addresses left in the plan.
CLUSTERS = ("test", "test2")


@dataclass(frozen=True)
class Spec:
    """One host: its name (also its minion id), its address, what it is for, whose os-release it carries."""

    name: str
    address: str
    role: str
    system: str = "debian"

    @property
    def link(self):
        """Name of the host's end on the bridge."""
        return f"v-{self.name}"


def topology(clusters=1):
    """
    The lab's hosts: the master, three Consul servers, and three database hosts for each of ``clusters`` (1 or 2).

    The last database host of the first cluster is Astra Linux as far as os-release tells.
    """
    if not 1 <= clusters <= len(CLUSTERS):
        raise LabError(f"--clusters takes 1 to {len(CLUSTERS)}")
    hosts = [Spec(MASTER, NETWORK + "5", "master")]
    hosts += [Spec(f"test-dcs{n}", f"{NETWORK}{10 + n}", "dcs") for n in (1, 2, 3)]
    for index, cluster in enumerate(CLUSTERS[:clusters]):
        for n in (1, 2, 3):
            system = "astra" if (cluster, n) == ("test", 3) else "debian"
            hosts.append(Spec(f"{cluster}-db{n}", f"{NETWORK}{20 + 10 * index + n}", "db", system))
    return hosts
