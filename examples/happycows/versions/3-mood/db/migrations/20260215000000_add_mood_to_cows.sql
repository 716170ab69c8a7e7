-- migrate:up
ALTER TABLE cows ADD COLUMN mood text NOT NULL DEFAULT 'happy';
UPDATE cows SET mood = 'very happy' WHERE id % 3 = 0;

-- migrate:down
ALTER TABLE cows DROP COLUMN mood;
