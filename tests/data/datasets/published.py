"""Small files in the layouts of the publishers, and the rows that they hold."""

import bz2
import gzip
import io
import tarfile
import zipfile
from xml.sax.saxutils import escape

GENRES = "0|1|1" + "|0" * 16  # Action and Adventure of the 19 flags


def zipped(**files):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return held.getvalue()


def tarred(files):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return held.getvalue()


def workbook(rows, *, dates=()):
    """A workbook of one sheet: texts are shared, numbers of the columns `dates` show as times."""
    texts = {cell: None for row in rows for cell in row if isinstance(cell, str)}
    place = {cell: number for number, cell in enumerate(texts)}

    def cell(column, number, held):
        if held is None:
            return ""
        where = f'r="{chr(65 + column)}{number}"'
        if isinstance(held, str):
            return f'<c {where} t="s"><v>{place[held]}</v></c>'
        return f'<c {where} s="{int(column in dates)}"><v>{held!r}</v></c>'

    sheet = "".join(
        f'<row r="{number}">{"".join(cell(at, number, held) for at, held in enumerate(row))}</row>'
        for number, row in enumerate(rows, start=1)
    )
    strings = "".join(f'<si><t xml:space="preserve">{escape(held)}</t></si>' for held in texts)
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    package = 'xmlns="http://schemas.openxmlformats.org/package/2006'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def related(**targets):
        parts = "".join(
            f'<Relationship Id="{part}" Type="{kind}/{part}" Target="{target}"/>'
            for part, target in targets.items()
        )
        return f'<Relationships {package}/relationships">{parts}</Relationships>'

    return zipped(
        **{
            "[Content_Types].xml": f'<Types {package}/content-types">'
            '<Default Extension="xml" ContentType="application/xml"/></Types>',
            "_rels/.rels": related(officeDocument="xl/workbook.xml"),
            "xl/_rels/workbook.xml.rels": related(
                worksheet="worksheets/sheet1.xml",
                sharedStrings="sharedStrings.xml",
                styles="styles.xml",
            ),
            "xl/workbook.xml": f'<workbook {main} xmlns:r="{kind}"><sheets>'
            '<sheet name="Online Retail" sheetId="1" r:id="worksheet"/></sheets></workbook>',
            # Format 22 is a day with hour and minute.
            "xl/styles.xml": f'<styleSheet {main}><cellXfs count="2"><xf numFmtId="0"/>'
            '<xf numFmtId="22"/></cellXfs></styleSheet>',
            "xl/sharedStrings.xml": f"<sst {main}>{strings}</sst>",
            "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>{sheet}</sheetData>"
            "</worksheet>",
        }
    )


def online_retail(rows):
    """The archive of Online Retail; times are days since the end of 1899, as sheets count them."""
    names = "InvoiceNo StockCode Description Quantity InvoiceDate UnitPrice CustomerID Country"
    sheet = workbook([names.split(), *rows], dates=[4])
    return {"online+retail.zip": zipped(**{"Online Retail.xlsx": sheet})}


def xing(row, export=""):
    """A table of one row, its names behind that of the exported table."""
    return f"{tabbed(export + name for name in row)}\n{tabbed(row.values())}\n".encode()


def tabbed(fields):
    return "\t".join(fields)


# fmt: off
XING_USER = {
    "jobroles": "8,9", "career_level": "3", "discipline_id": "19", "industry_id": "17",
    "country": "de", "region": "16", "experience_n_entries_class": "1",
    "experience_years_experience": "2", "experience_years_in_current": "4",
    "edu_degree": "NULL", "edu_fieldofstudies": "5,6",
}
XING_USER_2017 = {**XING_USER, "wtcj": "0", "premium": "7"}
XING_ITEM_2016 = {
    "title": "1,2", "career_level": "3", "discipline_id": "9", "industry_id": "7", "country": "de",
    "region": "16", "latitude": "50.1", "longitude": "", "employment": "5", "tags": "4,5",
    "created_at": "null", "active_during_test": "0",
}
XING_ITEM_2017 = {
    "title": "1,2", "career_level": "3", "discipline_id": "9", "industry_id": "7", "country": "de",
    "is_payed": "0", "region": "16", "latitude": "50.1", "longitude": "8.6", "employment": "5",
    "tags": "4,5", "created_at": "1470000000",
}
# fmt: on
# 2010-12-01 is day 40,513 of a sheet, and day 14,944 since 1970.
RETAIL_DAY = 40_513
RETAIL = [
    [536365, "85123A", 'WHITE "HEART"  LIGHT ', 6, RETAIL_DAY + 506 / 1440, 2.55, 17850, "UK"],
    [536365, 71053, None, 6, RETAIL_DAY + 506 / 1440, 3.39, 17850, "UK"],
    ["C536379", "D", "Discount", -1, RETAIL_DAY + 581 / 1440, 27.5, 14527, "UK"],
    ["A563185", "B", "Adjust bad debt", 1, RETAIL_DAY + 582 / 1440, 11062.06, None, "UK"],
    [536370, "POST", "POSTAGE", 3, RETAIL_DAY + 525 / 1440, 18, 12583, "France"],
]
XING_2017 = "recsyschallenge_v2017_interactions_final_anonym_training_export."

FILES = {
    "citeulike": {
        # Two tags of one posting, with another's line between them.
        "current.bz2": bz2.compress(
            b"42|a1b2|2004-11-04 02:25:05.373798+00|ecoli\n"
            b"43|c3d4|2004-11-04 02:25:06+00|no|tag\n"
            b"42|a1b2|2004-11-04 02:25:05.373798+00|metabolism\n"
        )
    },
    "diginetica": {
        "dataset-train-diginetica.zip": zipped(
            **{
                "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n"
                "1;NA;81766;526309;2016-05-09\n1;NA;31331;1031018;2016-05-09\n"
                "2;17;32118;243569;2016-05-10\n",
                "products.csv": "itemId;pricelog2;product.name.tokens\n81766;7;1,2,3\n",
                "product-categories.csv": "itemId;categoryId\n81766;11\n",
            }
        )
    },
    "foursquare": {
        "dataset_tsmc2014.zip": zipped(
            **{
                f"dataset_tsmc2014__dataset_TSMC2014_{city}.txt": (
                    f'{user}\t49bbd6c0\t4bf58dd8\tCafé "x\t40.7198\t-74.0025\t-240\t'
                    "Tue Apr 03 18:00:09 +0000 2012\r\n"
                ).encode("latin-1")
                for user, city in ((470, "NYC"), (1541, "TKY"))
            }
        )
    },
    "globo": {
        "clicks.zip": zipped(
            **{
                f"clicks__clicks_hour_00{hour}.csv": (
                    "user_id,session_id,session_start,session_size,click_article_id,"
                    "click_timestamp,click_environment,click_deviceGroup,click_os,click_country,"
                    "click_region,click_referrer_type\n"
                    f"{hour},150682542300001{hour},1506825423000,2,11998{hour},"
                    f"150682682602{hour},4,3,20,1,25,2\n"
                )
                for hour in (1, 0)
            }
        ),
        "articles_metadata.csv": b"article_id,category_id,created_at_ts,publisher_id,words_count\n"
        b"0,5,1513144419000,0,168\n",
    },
    "lastfm_1k": {
        "lastfm-dataset-1K.tar.gz": tarred(
            {
                "lastfm-dataset-1K/userid-timestamp-artid-artname-traid-traname.tsv": (
                    'user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\t\t"Flashdance\n'
                    'user_000001\t2009-05-04T13:54:10Z\t\tÓ "Band"\tt2\tComposition\n'
                    "user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\t坂本龍一\tt3\tMc2\n"
                ),
                "lastfm-dataset-1K/userid-profile.tsv": (
                    "#id\tgender\tage\tcountry\tregistered\nuser_000001\tm\t\tJapan\tAug 13, 2006\n"
                ),
            }
        )
    },
    "ml_100k": {
        "ml-100k.zip": zipped(
            **{
                "ml-100k__u.data": "196\t242\t3\t881250949\n186\t302\t4\t891717742\n",
                "ml-100k__u.item": f"543|Misérables, Les (1995)|01-Jan-1995||http://x|{GENRES}\n\n".encode(
                    "latin-1"
                ),
                "ml-100k__u.user": "1|24|M|technician|85711\n",
            }
        )
    },
    "ml_1m": {
        "ml-1m.zip": zipped(
            **{
                "ml-1m__ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n",
                "ml-1m__movies.dat": "73::Misérables, Les (1995)::Drama|Musical\n".encode(
                    "latin-1"
                ),
                "ml-1m__users.dat": "1::F::1::10::48067\n",
            }
        )
    },
    "online_retail_uci": online_retail(RETAIL),
    "retailrocket": {
        "events.csv": b"timestamp,visitorid,event,itemid,transactionid\n"
        b"1433221332117,257597,view,355908,\n1433224214164,992329,transaction,248676,4000\n",
        "item_properties_part1.csv": b"timestamp,itemid,property,value\n1435460400000,1,cat,1338\n",
        "item_properties_part2.csv": b"timestamp,itemid,property,value\n1433041200000,2,888,n7 8\n",
    },
    "steam": {
        "steam_reviews.json.gz": gzip.compress(
            b"{u'username': u'Ch\\xe1os \"Syren', u'hours': 0.1, u'product_id': u'725280', "
            b"u'date': u'2017-12-17', u'text': u\"it's a ' test\"}\n"
            b"{u'username': u'7', u'product_id': u'328100', u'early_access': False, "
            b"u'date': u'2017-08-02', u'text': u''}\n"
        ),
        "steam_games.json.gz": gzip.compress(
            b"{u'id': u'761140', u'title': u'Lost', u'genres': [u'Action', u'Indie']}\n"
            b"{u'title': u'no id'}\n"
        ),
    },
    "tmall": {
        "data_format1.zip": zipped(
            **{
                "data_format1__user_log_format1.csv": (
                    "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
                    "328862,323294,833,2882,2661,0829,0\n328862,844400,1271,2882,,1111,2\n"
                ),
                "data_format1__user_info_format1.csv": "user_id,age_range,gender\n376517,,1\n",
            }
        )
    },
    "xing_2016": {
        "interactions.csv": b"user_id\titem_id\tinteraction_type\tcreated_at\n"
        b"7\t1006615\t1\t1440583725\n7\t1006616\t4\t1440583726\n",
        "items.csv": xing({"id": "1006615", **XING_ITEM_2016}),
        "users.csv": xing({"id": "77", **XING_USER}),
    },
    "xing_2017": {
        "interactions.csv": "\t".join(
            XING_2017 + name for name in ("user_id", "item_id", "interaction_type", "created_at")
        ).encode()
        + b"\n9\t55\t5\t1480000000\n8\t66\t0\t1480000001\n",
        "items.csv": xing(
            {"id": "55", **XING_ITEM_2017}, "recsyschallenge_v2017_items_final_training_export."
        ),
        "users.csv": xing(
            {"id": "99", **XING_USER_2017},
            "recsyschallenge_v2017_users_final_anonym_export_unique.",
        ),
    },
    "yoochoose": {
        "yoochoose-clicks.dat": b"2,2014-04-07T13:57:19.373Z,214662742,0\n"
        b"1,2014-04-07T10:51:09.277Z,214536502,S\n",
        "yoochoose-buys.dat": b"420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n",
    },
}
"""Files of each data set, by name."""

DAY = 86_400
EVENTS = {
    "citeulike": [
        {"user": "a1b2", "item": 42, "timestamp": 1_099_535_105},
        {"user": "c3d4", "item": 43, "timestamp": 1_099_535_106},
    ],
    # 2016-05-09 is day 16,930 since 1970.
    "diginetica": [
        {"session": 1, "item": 81766, "timestamp": 16_930 * DAY * 1000 + 526_309, "user_id": "NA"},
        {
            "session": 1,
            "item": 31331,
            "timestamp": 16_930 * DAY * 1000 + 1_031_018,
            "user_id": "NA",
        },
        {"session": 2, "item": 32118, "timestamp": 16_931 * DAY * 1000 + 243_569, "user_id": "17"},
    ],
    "foursquare": [
        {
            "user": 470,
            "item": "49bbd6c0",
            "timestamp": 1_333_476_009,
            "category": 'Café "x',
            "latitude": 40.7198,
            "longitude": -74.0025,
            "timezone_minutes": -240,
        }
    ],
    "globo": [
        {
            "user": hour,
            "item": 119_980 + hour,
            "timestamp": 1_506_826_826_020 + hour,
            "session": 1_506_825_423_000_010 + hour,
            "environment": 4,
            "device": 3,
            "os": 20,
            "country": 1,
            "region": 25,
            "referrer": 2,
        }
        for hour in (0, 1)
    ],
    "lastfm_1k": [
        {
            "user": "user_000001",
            "item": item,
            "timestamp": timestamp,
            "artist": artist,
            "track": track,
        }
        for item, timestamp, artist, track in (
            ("f1b1cf71", 1_241_478_537, "Deep Dish", '"Flashdance'),
            ('Ó "Band"', 1_241_445_250, 'Ó "Band"', "Composition"),
            ("a7f7df4a", 1_241_445_250, "坂本龍一", "Mc2"),
        )
    ],
    "ml_100k": [
        {"user": 196, "item": 242, "timestamp": 881_250_949, "rating": 3.0},
        {"user": 186, "item": 302, "timestamp": 891_717_742, "rating": 4.0},
    ],
    "ml_1m": [
        {"user": 1, "item": 1193, "rating": 5.0, "timestamp": 978_300_760},
        {"user": 2, "item": 661, "rating": 3.0, "timestamp": 978_302_109},
    ],
    "online_retail_uci": [
        {
            "user": user,
            "item": item,
            "timestamp": 14_944 * DAY + 60 * minute,
            "session": session,
            "quantity": quantity,
            "description": description,
            "unit_price": price,
            "country": country,
        }
        for user, item, minute, session, quantity, description, price, country in (
            (17850, "85123A", 506, 536365, 6, 'WHITE "HEART"  LIGHT ', 2.55, "UK"),
            (17850, "71053", 506, 536365, 6, "", 3.39, "UK"),
            (12583, "POST", 525, 536370, 3, "POSTAGE", 18.0, "France"),
        )
    ],
    "retailrocket": [
        {"user": 257597, "item": 355908, "timestamp": 1_433_221_332_117, "event_type": "view"},
        {
            "user": 992329,
            "item": 248676,
            "timestamp": 1_433_224_214_164,
            "event_type": "transaction",
        },
    ],
    "steam": [
        {"user": 'Cháos "Syren', "item": "725280", "timestamp": 17_517 * DAY, "hours": 0.1},
        {"user": "7", "item": "328100", "timestamp": 17_380 * DAY, "hours": None},
    ],
    # 29 August is day 240 of a common year, counted from 0; 11 November is day 314.
    "tmall": [
        {
            "user": 328862,
            "item": 323294,
            "timestamp": 240 * DAY,
            "event_type": "click",
            "category": 833,
            "seller": 2882,
            "brand": "2661",
        },
        {
            "user": 328862,
            "item": 844400,
            "timestamp": 314 * DAY,
            "event_type": "purchase",
            "category": 1271,
            "seller": 2882,
            "brand": "",
        },
    ],
    "xing_2016": [
        {"user": 7, "item": 1006615, "timestamp": 1_440_583_725, "event_type": "click"},
        {"user": 7, "item": 1006616, "timestamp": 1_440_583_726, "event_type": "delete"},
    ],
    "xing_2017": [
        {"user": 9, "item": 55, "timestamp": 1_480_000_000, "event_type": "recruiter_interest"},
        {"user": 8, "item": 66, "timestamp": 1_480_000_001, "event_type": "impression"},
    ],
    "yoochoose": [
        {"session": 2, "item": 214662742, "timestamp": 1_396_879_039_373, "category": "0"},
        {"session": 1, "item": 214536502, "timestamp": 1_396_867_869_277, "category": "S"},
    ],
}
"""The rows of the table `events`, in the order of the file; None stands for NaN."""

OTHERS = {
    ("diginetica", "items"): [{"item": 81766, "price_log2": 7.0, "name_tokens": "1,2,3"}],
    ("diginetica", "item_categories"): [{"item": 81766, "category": 11}],
    ("foursquare", "events_tokyo"): [{**EVENTS["foursquare"][0], "user": 1541}],
    ("globo", "items"): [{"item": 0, "category": 5, "created_at_ms": 1513144419000, "words": 168}],
    ("lastfm_1k", "users"): [
        {
            "user": "user_000001",
            "gender": "m",
            "age": "",
            "country": "Japan",
            "signup": "Aug 13, 2006",
        }
    ],
    ("ml_100k", "items"): [
        {
            "item": 543,
            "title": "Misérables, Les (1995)",
            "release_date": "01-Jan-1995",
            "genres": "Action|Adventure",
        }
    ],
    ("ml_100k", "users"): [
        {
            "user": 1,
            "age": 24,
            "gender": "M",
            "occupation": "technician",
            "zip_code": "85711",
        }
    ],
    ("ml_1m", "items"): [
        {"item": 73, "title": "Misérables, Les (1995)", "genres": "Drama|Musical"}
    ],
    ("ml_1m", "users"): [
        {
            "user": 1,
            "gender": "F",
            "age": 1,
            "occupation": 10,
            "zip_code": "48067",
        }
    ],
    ("retailrocket", "item_properties"): [
        {
            "item": 1,
            "timestamp": 1435460400000,
            "property": "cat",
            "value": "1338",
        },
        {"item": 2, "timestamp": 1433041200000, "property": "888", "value": "n7 8"},
    ],
    ("steam", "items"): [
        {
            "item": "761140",
            "title": "Lost",
            "genres": "Action|Indie",
            "tags": "",
            "developer": "",
            "publisher": "",
        }
    ],
    ("tmall", "users"): [{"user": 376517, "age_range": "", "gender": "1"}],
    ("xing_2016", "items"): [{"item": 1006615, **XING_ITEM_2016}],
    ("xing_2016", "users"): [{"user": 77, **XING_USER}],
    ("xing_2017", "items"): [{"item": 55, **XING_ITEM_2017}],
    ("xing_2017", "users"): [{"user": 99, **XING_USER_2017}],
    ("yoochoose", "purchases"): [
        {
            "session": 420374,
            "item": 214537888,
            "timestamp": 1_396_809_898_314,
            "price": 12462.0,
            "quantity": 1,
        }
    ],
}
"""The rows of each other table; None stands for NaN."""


def write(folder, name):
    """Writes the files of a data set into a folder, and returns it."""
    for file, content in FILES[name].items():
        (folder / file).write_bytes(content)
    return folder
