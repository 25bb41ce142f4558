"""Words: which ones carry a request (and are mended when mistyped), which ones carry nothing."""

from __future__ import annotations


def words(lines: str) -> frozenset[str]:
    """The words of ``lines``, as a set."""
    return frozenset(lines.split())


KEY_WORDS = words("""
    train training classify classifier classification categorize categorise category categories detect
    detector detection predict prediction distinguish separate recognize recognise regression binary
    multiclass multilabel label labels sentiment positive negative neutral review reviews product products
    support ticket tickets email emails message messages comment comments tweet tweets customer customers
    intent intents topic topics spam toxic toxicity emotion emotions language urgent urgency priority
    accuracy precision recall macro balanced budget dollar dollars euros minutes minute hours public publish
    publicly private dataset without spending banking model models rating ratings complaint complaints
    question questions article articles headline headlines german english french spanish feedback moderation
    hateful offensive abusive whether scores
    """)

# Real words that lie one letter from a key word: never "mended".
COMMON_WORDS = words("""
    intend intends intense contents content tropics tonic models modelled mode trains trained trainer strain
    brain rain drain review reviewed reviewer comment commend command commends token tokens toxin toxins
    rating dating rates rated spamming spammy product produce produces produced article particle massage
    massages passage passages messenger private privates pirate publication publisher publics published
    public republic minus minuet hour ours yours labour labor labels libel level levels score scored scary
    customs custom costume costumes emotional commotion motion motions motivation bank banks backing baking
    ranking binaries dollars collar collars question quest recognized recognised recognizes recognises
    predicts predicted predictor predictive detects detected detective classifies classified classic
    classics classical classroom separated separates separately positives positively negatives negatively
    neutrals budgets minutely primary priorities tweeted tweeter twitter reviewers supporter supports
    supported ticketing ticketed topical languages germany germans frenchman spain commented commenter
    complain complains complained headlined mailing precise precisely recalls recalled accurate accurately
    inaccuracy urgently agent agents dressing weather whither hates hateful hatred offense offence whole
    while where racing indent indents trailing tracing balance balancer stores sending modes compliant
    detecting detectors speeding multicast intern interns macros scopes regressions modals emoticons
    spelling spanning minting mixture testament mentions pensions sessions
""")

# Words that say nothing about what is to be learned.
EMPTY_WORDS = words("""
    a about accurate after against ai algorithm all also am an and any anything apart app are around as ask
    asking at automatic automatically back based be because been before best better between big build but by
    call can care chat cheap check class classes classification classifier classifiers classify classifies
    classifying code column come could create csv cpu data dataset datasets deep deliver detect detection
    detector detects determine develop different differentiate distinguish distinguishes do does doing don't
    done dont each easy else etc every everything example examples fast fastest few field file files filter
    find fine finetune first five flag for four free from get getting give given gives go good got gpu great
    group groups had has have he hello help her here hey hi high him his hour hours how i i'd i'm idea if
    important in into is it it's item its job json jsonl just keep kind know label labelled labels learn
    learning least less let like little look looking lot low machine make makes making many max maximum me
    metric minute minutes ml model models money more most much multi-class multi-label multiclass multilabel
    must my name need needs network neural new nice no not nothing now of off often ok okay on one ones only
    optimise optimize or other our out over own performance please possible predict predicting prediction
    predictions predicts problem project put python quick quickly rate rather read really recognise
    recognize regression request result results right row rows run same say says score see seconds send
    separate set she should show simple size small so solve some something sort sorted sorting sorts spend
    spending stuff such sure system tag tags take task tell telling tells test text texts than thank thanks
    that the their them then there these they thing things this those three time to today told too tool top
    train trained training trains try turn two type under until up us use used useful user using value
    version very via want wants was way we well were what when where whether which while who whose why will
    with within without work works would yes yet you your day days may says reads par above smaller min
    upload anywhere bucks daten target input people contain contains twenty thirty forty fifty hundred ten
    answer answers asap tonight tomorrow morning raspberry pi phone a100 h100 apply applies tagging
    fine-tune finetuning miss any sit please train' leave limit runs cares second hour einteilt
    unterscheidet höchstens mindestens zehn ob zwischen dépenser d'argent argent gastar dinero qu'un dit
    accuracy f1 f1-score macro macro-f1 micro precision recall rmse mae auc auroc mcc matter matters
    optimising budget dollar dollars usd eur euro euros cost costs pay public publicly private publish hub
    huggingface hugging face server servers leave laptop binary ich ein eine einen einem einer der die das
    den dem des und oder mit ohne für auf aus nach von bitte nicht kein keine unsere unser unseren mein
    meine modell trainiere trainier klassifiziere sortiere erkenne minuten stunden geld ausgeben le la les
    un une des du de et ou avec sans pour nos mes notre selon entraîne entraine entraîner modèle classe
    classer classez trie dans en qui que ne pas je el los las unos y o con sin para nuestros nuestras mis
    por entrena entrenar modelo clasifica clasificar clasifique que es
    """)

# What an intern is asked to sort: the text itself. Values: the word used in the goal, in English.
TEXT_NOUNS: dict[str, str] = {
    **{
        w: w
        for w in words("""
    reviews tickets emails messages tweets comments questions posts articles headlines documents abstracts
    feedback chats sentences resumes contracts complaints requests queries news descriptions utterances
    conversations transcripts titles paragraphs notes reports letters invoices claims essays replies surveys
    prompts captions inquiries lyrics stories speeches clauses logs memos bios memes threads statements
    snippets summaries answers
    """)
    },
    "review": "reviews",
    "ticket": "tickets",
    "email": "emails",
    "e-mail": "emails",
    "mail": "emails",
    "mails": "emails",
    "message": "messages",
    "sms": "text messages",
    "texts": "texts",
    "tweet": "tweets",
    "comment": "comments",
    "question": "questions",
    "post": "posts",
    "article": "articles",
    "headline": "headlines",
    "document": "documents",
    "abstract": "abstracts",
    "complaint": "complaints",
    "query": "queries",
    "description": "descriptions",
    "prompt": "prompts",
    "caption": "captions",
    "cv": "resumes",
    "cvs": "resumes",
    "résumés": "resumes",
    "bewertungen": "reviews",
    "produktbewertungen": "product reviews",
    "kundenbewertungen": "customer reviews",
    "rezensionen": "reviews",
    "nachrichten": "messages",
    "kundenanfragen": "customer inquiries",
    "anfragen": "inquiries",
    "beschwerden": "complaints",
    "supporttickets": "support tickets",
    "kommentare": "comments",
    "e-mails": "emails",
    "avis": "reviews",
    "commentaires": "comments",
    "courriels": "emails",
    "demandes": "requests",
    "plaintes": "complaints",
    "reseñas": "reviews",
    "opiniones": "reviews",
    "comentarios": "comments",
    "correos": "emails",
    "mensajes": "messages",
    "quejas": "complaints",
    "consultas": "queries",
    "tuits": "tweets",
}

# Words that stand in front of a text noun and belong to it ("product reviews").
NOUN_MODIFIERS = words("""
    product movie film customer support user banking bank news job legal medical clinical hotel restaurant
    book app game patient student employee incident bug helpdesk service chat chatbot call sms text social
    youtube reddit twitter amazon yelp imdb insurance scientific research arxiv forum blog it hr sales store
    shop travel airline financial github stack overflow german english french spanish italian dutch
    portuguese
    """)

# Class names that need no further hint to be known as such.
LABEL_WORDS = words("""
    positive negative neutral mixed spam ham junk toxic clean safe unsafe urgent normal low medium high fake
    real true false yes no good bad happy sad angry bug feature question relevant irrelevant offensive
    hateful harmless positiv negativ positif négatif positifs négatifs positives négatives positivo negativo
    positivos negativos positivas negativas neutre neutro human machine pos neg complaint praise sarcastic
    serious satire clickbait
    """)
