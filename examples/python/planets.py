"""The planets of data/planets.csv, Kepler's third law and Newton's law of gravitation."""

import csv
import math

#: The Sun's gravitational parameter, in (10^6 km)^3 per day^2. It is 1.32712440018e20 m^3/s^2.
SUN = 1.32712440018e20 * 86400**2 / 1e27

COLUMNS = ("mass", "diameter", "density", "perihelion", "aphelion", "period")


class BadRow(Exception):
    """A row that does not describe a planet."""


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return parse(file)


def parse(lines):
    """Planets as dicts, from the lines of a CSV."""
    reader = csv.DictReader(lines)
    return [planet(row, reader.line_num) for row in reader]


def planet(row, line):
    planet = {"name": row["planet"]}
    for column in COLUMNS:
        try:
            planet[column] = float(row[column])
        except (TypeError, ValueError) as error:
            raise BadRow("line %d, %s: no %s" % (line, row["planet"], column)) from error
    return planet


def axis(planet):
    """The orbit's semi-major axis."""
    return (planet["perihelion"] + planet["aphelion"]) / 2


def kepler(planets):
    """``(name, distance, period, period²/distance³)``, in units of the Earth's."""
    earth = next(planet for planet in planets if planet["name"] == "Earth")
    for planet in planets:
        distance = axis(planet) / axis(earth)
        period = planet["period"] / earth["period"]
        yield planet["name"], distance, period, period**2 / distance**3


def exponent(planets):
    """The n of period ~ distance^n that fits best (least squares of the logarithms)."""
    points = [(math.log(axis(planet)), math.log(planet["period"])) for planet in planets]
    mean_x = math.fsum(x for x, _ in points) / len(points)
    mean_y = math.fsum(y for _, y in points) / len(points)
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / math.fsum(
        (x - mean_x) ** 2 for x, _ in points
    )


def volume(planet):
    """Of a sphere of the planet's diameter, in m^3."""
    return math.pi / 6 * (planet["diameter"] * 1000) ** 3


def year(planet, step=0.01):
    """Lets a planet fall around the Sun, ``step`` days at a time, from perihelion to perihelion.

    Yields ``("tenth", n)`` for each tenth of the way around, and ``("days", length)`` at the end.
    """
    near, far = planet["perihelion"], planet["aphelion"]
    x, y = near, 0.0
    # Its speed there follows from the energy and the angular momentum being conserved.
    vx, vy = 0.0, math.sqrt(2 * SUN * far / (near * (near + far)))
    pull = -SUN * step
    vx += pull / 2 * x / near**3
    steps, tenths, back = 0, 0, False
    while True:
        x += vx * step
        before, y = y, y + vy * step
        steps += 1
        if y < 0:
            back = True
        elif back:
            for tenth in range(tenths + 1, 11):
                yield "tenth", tenth
            # The axis was crossed within this step.
            yield "days", (steps - y / (y - before)) * step
            return
        cube = (x * x + y * y) ** 1.5
        vx += pull * x / cube
        vy += pull * y / cube
        if steps % 1000 == 0:
            angle = math.atan2(y, x) % math.tau
            while tenths < int(10 * angle / math.tau):
                tenths += 1
                yield "tenth", tenths


def years(planets):
    """The same for one planet after the other: ``(name, what, number)``."""
    for planet in planets:
        for what, number in year(planet):
            yield planet["name"], what, number
