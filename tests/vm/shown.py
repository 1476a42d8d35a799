"""Each verdict of the journal: its words on lamps and terminal, its screen of `chestlight screens`, its plate's colour."""

from typing import NamedTuple


class Shown(NamedTuple):
    words: str
    screen: str
    plate: tuple


SHOWN = {
    "Normal": Shown("normal", "normal", (86, 150, 250)),
    "BacterialPneumonia": Shown("bacterial pneumonia", "bacterial", (240, 160, 0)),
    "Covid19Pneumonia": Shown("COVID-19 pneumonia", "covid19", (200, 128, 170)),
    "Refer": Shown("refer to a doctor", "refer", (245, 238, 120)),
    "Refused": Shown("repeat the film", "repeat", (222, 240, 240)),
    "Fault": Shown("fault", "film-fault", (222, 82, 40)),
}
