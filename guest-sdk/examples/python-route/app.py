"""The shortest way between two cities, in pure Python.

The map is a table of flights, built into a graph when the module is imported. A call runs Dijkstra's
algorithm over it and answers with the way, its length, and the next best one that shares no flight
with it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

EARTH_KM = 6371.0

# Latitude and longitude in degrees.
CITIES = {
    "Amsterdam": (52.37, 4.90),
    "Athens": (37.98, 23.73),
    "Berlin": (52.52, 13.40),
    "Dublin": (53.35, -6.26),
    "Helsinki": (60.17, 24.94),
    "Lisbon": (38.72, -9.14),
    "London": (51.51, -0.13),
    "Madrid": (40.42, -3.70),
    "Oslo": (59.91, 10.75),
    "Paris": (48.86, 2.35),
    "Rome": (41.90, 12.50),
    "Vienna": (48.21, 16.37),
    "Warsaw": (52.23, 21.01),
}

FLIGHTS = """
Lisbon Madrid, Lisbon Paris, Madrid Paris, Madrid Rome, Paris London, Paris Amsterdam,
Paris Vienna, London Dublin, London Amsterdam, London Oslo, Amsterdam Berlin, Amsterdam Oslo,
Berlin Warsaw, Berlin Vienna, Berlin Oslo, Vienna Rome, Vienna Athens, Vienna Warsaw,
Rome Athens, Oslo Helsinki, Warsaw Helsinki
"""

Flight = frozenset[str]


def distance(a: str, b: str) -> float:
    """The way through the air between two cities, in kilometres."""
    (lat_a, lon_a), (lat_b, lon_b) = ((math.radians(x) for x in CITIES[c]) for c in (a, b))
    half = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(math.sqrt(half))


@dataclass
class Graph:
    """Cities, and for each its neighbours with their distances."""

    near: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, a: str, b: str) -> None:
        """Adds a flight, both ways."""
        length = distance(a, b)
        self.near.setdefault(a, {})[b] = length
        self.near.setdefault(b, {})[a] = length

    def flights(self, city: str, closed: set[Flight]) -> Iterator[tuple[str, float]]:
        """Where one can fly from a city."""
        for other, length in self.near[city].items():
            if frozenset((city, other)) not in closed:
                yield other, length

    def shortest(
        self, start: str, goal: str, closed: set[Flight] | None = None
    ) -> tuple[float, list[str]] | None:
        """The shortest way, as its length and its cities; nothing where there is none."""
        best, before = {start: 0.0}, {}
        queue = [(0.0, start)]
        while queue:
            length, city = heapq.heappop(queue)
            if city == goal:
                return length, self._way(before, goal)
            if length > best[city]:
                continue
            for other, more in self.flights(city, closed or set()):
                total = length + more
                if total < best.get(other, math.inf):
                    best[other], before[other] = total, city
                    heapq.heappush(queue, (total, other))
        return None

    @staticmethod
    def _way(before: dict[str, str], goal: str) -> list[str]:
        way = [goal]
        while way[-1] in before:
            way.append(before[way[-1]])
        return way[::-1]


def read(flights: str) -> Graph:
    """The graph of a table of flights."""
    graph = Graph()
    for pair in flights.split(","):
        a, b = pair.split()
        graph.add(a, b)
    return graph


GRAPH = read(FLIGHTS)


def handler(event: dict, context: object) -> dict:
    """Finds the way from the event's `from` to its `to`."""
    start, goal = event["from"], event["to"]
    for city in (start, goal):
        if city not in GRAPH.near:
            raise KeyError(f"no flights to {city!r}; known: {', '.join(sorted(GRAPH.near))}")
    found = GRAPH.shortest(start, goal)
    if found is None:
        return {"way": None}
    length, way = found
    closed = {frozenset(pair) for pair in zip(way, way[1:])}
    other = GRAPH.shortest(start, goal, closed)
    return {
        "way": way,
        "km": round(length),
        "other": None if other is None else {"way": other[1], "km": round(other[0])},
    }
