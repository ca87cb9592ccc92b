/** Contractions that lost an apostrophe → the whole word, as the normalization of VQA answers mends them. */

/** Every word here is found when any one of its apostrophes is missing. Words that lack one and are words themselves (we'd, well, hell) are not mended. */
const WORDS = `
  ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't oughtn't shan't shouldn't wasn't weren't won't
  wouldn't could've might've must've not've should've they've we've what've where've who've would've you've he'd how'd it'd someone'd something'd
  there'd they'd where'd who'd you'd how'll it'll somebody'll someone'll something'll they'll what'll who'll why'll you'll there're they're what're
  why're you're he's how's somebody's someone's that's there's what's when's where's who's why's something'd ma'am o'clock 'twas y'all
  couldn't've hadn't've mightn't've shouldn't've wouldn't've he'd've it'd've she'd've somebody'd've someone'd've something'd've there'd've they'd've
  we'd've who'd've you'd've y'all'll y'all'd've 'ow's'at
`;

/** The published table has this one the wrong way round. */
const REVERSED: [string, string] = ["somebody'd", 'somebodyd'];

export const CONTRACTIONS: ReadonlyMap<string, string> = new Map([
  REVERSED,
  ...WORDS.trim()
    .split(/\s+/)
    .flatMap((word) => [...word.matchAll(/'/g)].map(({ index }): [string, string] => [word.slice(0, index) + word.slice(index + 1), word])),
]);
