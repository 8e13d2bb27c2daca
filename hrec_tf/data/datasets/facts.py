"""Public data sets: what each is, which files to fetch by hand, its terms, where it is described.

Plain values, so that a command can list them without TensorFlow. No address is kept: they change.
"""

from dataclasses import dataclass

from hrec_tf import checks

BUILDER, BUNDLED, STOCK = "builder", "bundled", "TensorFlow Datasets"
"""Where a data set is built: by us, from the package, or by a builder of TensorFlow Datasets."""

_TIME_UNITS = {"milliseconds": "ms"}


@dataclass(frozen=True)
class PublicDataset:
    """One public data set.

    Args:
        name: its name in TensorFlow Datasets.
        title: what its publisher calls it.
        about: kind of events, in a few words.
        fetch: which files to fetch by hand from whom.
        terms: terms of use, as far as the publisher states them.
        described_by: the public description of its layout that the builder follows.
        citation: BibTeX of what its publisher asks to cite.
        users: whether events name their user.
        sessions: whether events name their session.
        times: how exact times are, e.g. "seconds".
        origin: `BUILDER`, `BUNDLED` or `STOCK`.
        tables: names of its tables.
    """

    name: str
    title: str
    about: str
    fetch: str
    terms: str
    described_by: str
    citation: str
    times: str
    tables: tuple[str, ...] = ("events",)
    users: bool = True
    sessions: bool = False
    origin: str = BUILDER

    @property
    def timestamp_unit(self) -> str:
        """Unit of the column `timestamp`."""
        return _TIME_UNITS.get(self.times, "s")

    @property
    def has(self) -> str:
        """What an event names, in words."""
        known = [word for word in ("users", "sessions") if getattr(self, word)]
        return f"{' and '.join(known)}; times in {self.times}"

    def to_dict(self) -> dict[str, object]:
        """Returns what a listing shows."""
        return {
            "name": self.name,
            "title": self.title,
            "about": self.about,
            "fetch": self.fetch,
            "terms": self.terms,
            "described_by": self.described_by,
            "users": self.users,
            "sessions": self.sessions,
            "times": self.times,
            "origin": self.origin,
            "tables": list(self.tables),
        }


def names() -> tuple[str, ...]:
    """Returns the names of all data sets."""
    return tuple(_DATASETS)


def entry(name: str) -> PublicDataset:
    """Returns the facts of a data set.

    Raises:
        ValueError: there is no such data set; the message holds the nearest name.
    """
    return _DATASETS[checks.require_choice("name", name, _DATASETS)]


_GROUPLENS = (
    "Research use; no redistribution and no commercial use without permission of GroupLens; cite "
    "Harper & Konstan 2015."
)
_HARPER = """@article{harper2015movielens,
  author = {Harper, F. Maxwell and Konstan, Joseph A.},
  title = {The MovieLens Datasets: History and Context},
  journal = {ACM Transactions on Interactive Intelligent Systems},
  volume = {5}, number = {4}, year = {2015}, doi = {10.1145/2827872}
}"""
_XING_TERMS = (
    "For participants of the challenge, under its rules; people must not be identified. Not "
    "offered for download any more."
)

_CHEN = """@misc{chen2015onlineretail,
  author = {Chen, Daqing},
  title = {Online Retail},
  year = {2015},
  publisher = {UCI Machine Learning Repository},
  doi = {10.24432/C5BW33},
  note = {Creative Commons Attribution 4.0 International}
}"""

_DATASETS = {
    dataset.name: dataset
    for dataset in (
        PublicDataset(
            name="citeulike",
            title="CiteULike who-posted-what",
            about="articles that people saved, one event per posting",
            fetch="current.bz2, or the snapshot of a day under that name, the who-posted-what "
            "data of CiteULike (closed in 2019: a copy is needed).",
            terms="No licence is stated by the publisher.",
            described_by="CiteULike, Available datasets, page of its FAQ, 2007 to 2019; "
            "flaviovdf/tag_assess, src/tagassess/data_parser.py",
            citation="""@misc{citeulike,
  author = {{CiteULike}}, title = {Who-posted-what data}, year = {2007}
}""",
            times="seconds",
        ),
        PublicDataset(
            name="diginetica",
            title="CIKM Cup 2016 Track 2 (Diginetica)",
            about="product pages that were seen in a shop",
            fetch="dataset-train-diginetica.zip, from the organisers of CIKM Cup 2016 Track 2.",
            terms="For participants of the challenge, research use; no licence is stated.",
            described_by="rn5l/session-rec, preprocessing/session_based/preprocess_diginetica.py; "
            "RUCAIBox/RecSysDatasets, conversion_tools/src/extended_dataset.py",
            citation="""@misc{cikmcup2016,
  author = {{CIKM Cup 2016}}, title = {Track 2: Personalized E-Commerce Search Challenge},
  year = {2016}
}""",
            times="milliseconds",
            tables=("events", "items", "item_categories"),
            users=False,
            sessions=True,
        ),
        PublicDataset(
            name="foursquare",
            title="Foursquare NYC and Tokyo check-ins (TSMC 2014)",
            about="check-ins at venues of New York (table `events`) and Tokyo, 2012 to 2013",
            fetch="dataset_tsmc2014.zip, from the page of Dingqi Yang.",
            terms="No licence is stated; the authors ask to be cited.",
            described_by="Yang et al., dataset_TSMC2014_readme.txt, a file of the archive",
            citation="""@article{yang2014modeling,
  author = {Yang, Dingqi and Zhang, Daqing and Zheng, Vincent W. and Yu, Zhiyong},
  title = {Modeling User Activity Preference by Leveraging User Spatial Temporal
           Characteristics in LBSNs},
  journal = {IEEE Transactions on Systems, Man, and Cybernetics: Systems},
  volume = {45}, number = {1}, pages = {129--142}, year = {2015}
}""",
            times="seconds",
            tables=("events", "events_tokyo"),
        ),
        PublicDataset(
            name="globo",
            title="News Portal User Interactions by Globo.com",
            about="clicks on news articles in October 2017",
            fetch="clicks.zip and articles_metadata.csv, the second version, from the publisher's "
            "page at Kaggle.",
            terms="Academic use only, no commercial use; the authors ask to be cited.",
            described_by="page of the data set by G. de Souza Pereira Moreira; "
            "gabrielspmoreira/chameleon_recsys, nar_module/nar/preprocessing/"
            "nar_preprocess_gcom.py",
            citation="""@article{moreira2019contextual,
  author = {de Souza Pereira Moreira, Gabriel and Jannach, Dietmar and
            Marques da Cunha, Adilson},
  title = {Contextual Hybrid Session-Based News Recommendation With Recurrent Neural Networks},
  journal = {IEEE Access}, volume = {7}, year = {2019}, doi = {10.1109/ACCESS.2019.2954957}
}""",
            times="milliseconds",
            tables=("events", "items"),
            sessions=True,
        ),
        PublicDataset(
            name="lastfm_1k",
            title="Last.fm Dataset - 1K users",
            about="listening histories of nearly 1,000 people until May 2009",
            fetch="lastfm-dataset-1K.tar.gz, from the page of Òscar Celma.",
            terms="Non-commercial use, with permission of Last.fm.",
            described_by="Celma, README of the data set, version 1.0, May 2010",
            citation="""@book{celma2010music,
  author = {Celma, {\\`O}scar}, title = {Music Recommendation and Discovery in the Long Tail},
  publisher = {Springer}, year = {2010}
}""",
            times="seconds",
            tables=("events", "users"),
        ),
        PublicDataset(
            name="ml_100k",
            title="MovieLens 100K",
            about="ratings of movies, 1997 to 1998",
            fetch="ml-100k.zip, from GroupLens.",
            terms=_GROUPLENS,
            described_by="GroupLens, README of MovieLens 100K, a file of the archive",
            citation=_HARPER,
            times="seconds",
            tables=("events", "items", "users"),
        ),
        PublicDataset(
            name="ml_1m",
            title="MovieLens 1M",
            about="ratings of movies, 2000 to 2003",
            fetch="ml-1m.zip, from GroupLens.",
            terms=_GROUPLENS,
            described_by="GroupLens, README of MovieLens 1M, a file of the archive",
            citation=_HARPER,
            times="seconds",
            tables=("events", "items", "users"),
        ),
        PublicDataset(
            name="movielens",
            title="MovieLens latest-small, 100K, 1M, 20M and 25M",
            about="ratings of movies",
            fetch="ml-latest-small.zip, ml-100k.zip, ml-1m.zip, ml-20m.zip or ml-25m.zip, from "
            "GroupLens; TensorFlow Datasets knows its checksum.",
            terms=_GROUPLENS,
            described_by="TensorFlow Datasets, catalogue entry movielens, whose builder it is",
            citation=_HARPER,
            times="seconds",
            tables=tuple(
                f"{version}-ratings" for version in ("latest-small", "100k", "1m", "20m", "25m")
            ),
            origin=STOCK,
        ),
        PublicDataset(
            name="online_retail",
            title="Online Retail",
            about="purchases at a UK gift wholesaler, 2010 to 2011, one example per invoice",
            fetch="nothing: it is in the package.",
            terms="CC BY 4.0; cite Chen 2015.",
            described_by="Chen (2015), UCI Machine Learning Repository, doi:10.24432/C5BW33",
            citation=_CHEN,
            times="minutes",
            tables=("full",),
            sessions=True,
            origin=BUNDLED,
        ),
        PublicDataset(
            name="online_retail_uci",
            title="Online Retail, the workbook of UCI",
            about="purchases at a UK gift wholesaler, 2010 to 2011, one example per line of an "
            "invoice",
            fetch="online+retail.zip, which holds Online Retail.xlsx, from the UCI Machine "
            "Learning Repository.",
            terms="CC BY 4.0; cite Chen 2015.",
            described_by="Chen (2015), UCI Machine Learning Repository, doi:10.24432/C5BW33",
            citation=_CHEN,
            times="minutes",
            sessions=True,
        ),
        PublicDataset(
            name="retailrocket",
            title="Retailrocket recommender system dataset",
            about="views, additions to the cart and purchases in a shop, 2015",
            fetch="events.csv and, for the table of properties, item_properties_part1.csv and "
            "item_properties_part2.csv, from Retail Rocket's page at Kaggle.",
            terms="CC BY-NC-SA 4.0 to our knowledge; read its page before use.",
            described_by="Retail Rocket, page of the data set, 2016",
            citation="""@misc{retailrocket2016,
  author = {{Retail Rocket}}, title = {Retailrocket recommender system dataset}, year = {2016}
}""",
            times="milliseconds",
            tables=("events", "item_properties"),
        ),
        PublicDataset(
            name="steam",
            title="Steam Video Game and Bundle Data, version 2 of the reviews",
            about="reviews of games, 2010 to 2018",
            fetch="steam_reviews.json.gz and, for the table of items, steam_games.json.gz, from "
            "the pages of W.-C. Kang and J. McAuley.",
            terms="No licence is stated; the authors ask to be cited.",
            described_by="Kang & McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, "
            "doi:10.1109/ICDM.2018.00035; RUCAIBox/RecSysDatasets, "
            "conversion_tools/src/extended_dataset.py",
            citation="""@inproceedings{kang2018self,
  author = {Kang, Wang-Cheng and McAuley, Julian},
  title = {Self-Attentive Sequential Recommendation},
  booktitle = {ICDM}, year = {2018}, doi = {10.1109/ICDM.2018.00035}
}""",
            times="days",
            tables=("events", "items"),
        ),
        PublicDataset(
            name="tmall",
            title="Tmall repeat buyers (IJCAI-15 contest)",
            about="clicks, additions to the cart, purchases and favourites; days of an unnamed "
            "year, counted as days of 1970",
            fetch="data_format1.zip, from the contest's page at Tianchi (Alibaba).",
            terms="For use under the terms of Tianchi, after registration; no other licence is "
            "stated.",
            described_by="Alibaba, IJCAI-15 Dataset, page at Tianchi; rn5l/session-rec, "
            "preprocessing/session_based/preprocess_tmall.py",
            citation="""@misc{tmall2015,
  author = {{Alibaba}}, title = {IJCAI-15 Repeat Buyers Prediction Dataset}, year = {2015}
}""",
            times="days",
            tables=("events", "users"),
        ),
        PublicDataset(
            name="xing_2016",
            title="RecSys Challenge 2016 (XING)",
            about="clicks, bookmarks, replies and deletions of job postings; times are shifted",
            fetch="interactions.csv, items.csv and users.csv, of the challenge.",
            terms=_XING_TERMS,
            described_by="Abel, Kohlsdorf & Pálovics, recsyschallenge/2016, TrainingDataset.md; "
            "mquad/hgru4rec, data/xing/build_dataset.py",
            citation="""@inproceedings{abel2016recsys,
  author = {Abel, Fabian and Bencz{\\'u}r, Andr{\\'a}s and Kohlsdorf, Daniel and
            Larson, Martha and P{\\'a}lovics, R{\\'o}bert},
  title = {RecSys Challenge 2016: Job Recommendations},
  booktitle = {RecSys}, year = {2016}, doi = {10.1145/2959100.2959207}
}""",
            times="seconds",
            tables=("events", "items", "users"),
        ),
        PublicDataset(
            name="xing_2017",
            title="RecSys Challenge 2017 (XING)",
            about="impressions, clicks, bookmarks, replies, deletions and recruiters' interest",
            fetch="interactions.csv, items.csv and users.csv, of the challenge.",
            terms=_XING_TERMS,
            described_by="ACM RecSys Challenge 2017, page of the challenge, quoted in "
            "cesarebernardis/WSDM-Cup-2022, RecSysFramework/DataManager/Reader/"
            "XingChallenge2017Reader.py; yansh97/HappyRec, preprocess_scripts/xing.py; "
            "Troublem1/PyTorchRec, torchrec/data/process/proprecess/xing.py",
            citation="""@inproceedings{abel2017recsys,
  author = {Abel, Fabian and Deldjoo, Yashar and Elahi, Mehdi and Kohlsdorf, Daniel},
  title = {RecSys Challenge 2017: Offline and Online Evaluation},
  booktitle = {RecSys}, year = {2017}, doi = {10.1145/3109859.3109954}
}""",
            times="seconds",
            tables=("events", "items", "users"),
        ),
        PublicDataset(
            name="yoochoose",
            title="RecSys Challenge 2015 (YooChoose)",
            about="clicks in a shop (table `events`), and purchases, 2014",
            fetch="yoochoose-data.7z, of the challenge; read as it is it needs the extra "
            "`sevenzip`. Or yoochoose-clicks.dat and yoochoose-buys.dat of it.",
            terms="CC BY-NC-ND 4.0 to our knowledge; read its readme before use.",
            described_by="RecSys Challenge 2015, page of the challenge; CRIPAC-DIG/SR-GNN, "
            "datasets/preprocess.py",
            citation="""@inproceedings{benshimon2015recsys,
  author = {Ben-Shimon, David and Tsikinovsky, Alexander and Friedmann, Michael and
            Shapira, Bracha and Rokach, Lior and Hoerle, Johannes},
  title = {RecSys Challenge 2015 and the YOOCHOOSE Dataset},
  booktitle = {RecSys}, year = {2015}, doi = {10.1145/2792838.2798723}
}""",
            times="milliseconds",
            tables=("events", "purchases"),
            users=False,
            sessions=True,
        ),
    )
}
